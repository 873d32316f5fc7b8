"""Helpers that tests of several folders use: stand-ins, real services to talk to, drawn data."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
