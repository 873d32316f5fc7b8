"""Where what was seen is written: files, a database, a broker. One file a kind."""
