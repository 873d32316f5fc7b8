"""The training loop, and what happens before and after it."""
