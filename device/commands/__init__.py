"""The commands of `edgekit` that need nothing but the board, a file each."""
