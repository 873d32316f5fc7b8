"""The machine: sensors, clock, signals, systemd, files, logging."""
