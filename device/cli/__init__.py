"""The command line of `pocketsight`: the commands of the board, one file each."""
