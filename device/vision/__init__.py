"""Images and boxes: reading, resizing, letterboxing, cropping, and the geometry of boxes."""
