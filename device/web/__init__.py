"""The page and the addresses that show what a run sees. Needs the extra `web`."""
