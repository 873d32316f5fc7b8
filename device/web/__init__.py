"""The web page of a run, its metrics and its health check. Needs the extra `web`."""
