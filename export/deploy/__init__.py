"""Puts pocketsight on boards over ssh, watches it there, and goes back when it fails."""
