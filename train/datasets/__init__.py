"""Data sets for training: readers, augmentation and batches."""
