"""Preparation of data before a training: label, check, split, preview and crop images."""
