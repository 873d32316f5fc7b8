"""The commands of `pocketsight` that need nothing but the board, a file each."""
