"""The models that `edgekit run` uses unless told otherwise, and one example picture. Data only, no code."""
