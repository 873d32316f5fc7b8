"""Drawn faces and people, for trials and tests without a camera, a person or a download."""
