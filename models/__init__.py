"""The shipped models and an example image. Data only, no code."""
