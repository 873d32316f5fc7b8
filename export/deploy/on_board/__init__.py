"""What runs on the board: only the standard library, sent as one archive. It needs no pocketsight there."""
