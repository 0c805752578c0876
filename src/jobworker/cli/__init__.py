"""``jobctl``: one file a verb. A call imports only the modules that its verb needs."""
