"""`pocketsight bench`: how fast this machine runs the pipeline and its models, and what changed since the last time."""
