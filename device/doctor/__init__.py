"""`pocketsight doctor`: what is wrong with this machine, and the cure."""
