"""Drawing results into frames, and making faces unrecognizable."""
