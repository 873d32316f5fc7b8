"""`edgekit bench`: how fast this machine runs the pipeline and its models, in numbers that can be trusted and compared."""
