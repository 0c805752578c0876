"""The server's side of the spool."""
