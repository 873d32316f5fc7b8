"""The models that `pocketsight run` uses unless told otherwise, and one example picture. Data only, no code."""
