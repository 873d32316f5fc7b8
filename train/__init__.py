"""Train and evaluate models on a workstation, with Keras and TensorFlow."""
