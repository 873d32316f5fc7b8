"""`pocketsight doctor`: checks of this machine, with a fix for each problem."""
