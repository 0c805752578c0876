"""The HTTPS API: one table of routes, one dispatcher, thin handlers.

``routes`` is the table; ``dispatch`` the choke point that every request passes;
``errors`` the table from failure to status; ``server`` the socket and TLS.
"""
