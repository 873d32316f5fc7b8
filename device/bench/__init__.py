"""`pocketsight bench`: the speed of the pipeline and its models on this machine, and what changed it."""
