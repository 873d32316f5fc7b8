"""Models: their files, the TFLite interpreter, the Coral, and what becomes of their outputs."""
