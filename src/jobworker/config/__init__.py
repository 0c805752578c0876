"""The configuration of the server: settings, and how its file is read."""
