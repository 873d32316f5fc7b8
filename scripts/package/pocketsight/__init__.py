"""pocketsight: a face detector and a classifier, from photographs to a camera on a Raspberry Pi or Coral board."""

__version__ = "0.2.0"
