"""From frame to frame: who is who, what is steady, what moves, what counts."""
