"""Export a trained model to one file for the board."""
