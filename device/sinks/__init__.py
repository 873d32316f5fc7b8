"""Outputs of a run: log files, databases, an MQTT broker, video files and snapshots."""
