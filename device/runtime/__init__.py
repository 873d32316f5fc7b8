"""Running the models on a camera: the loop, its settings, and what people see of it."""
