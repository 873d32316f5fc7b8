"""Training and scoring, on a workstation with Keras and TensorFlow."""
