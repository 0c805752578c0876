"""``jobd``: the server, and the commands for whoever operates it.

``main`` has the one table of commands, one module each. This room wires all others up.
"""
