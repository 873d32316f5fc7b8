"""Network architectures and their losses (Keras)."""
