"""Faces over time: tracks, smoothed labels, zones and motion."""
