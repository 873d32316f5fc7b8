"""The board itself: its temperature, its clock, its disk, and whether the loop still runs."""
