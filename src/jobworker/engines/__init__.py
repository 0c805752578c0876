"""Where supervisors start. ``local`` is this machine."""
