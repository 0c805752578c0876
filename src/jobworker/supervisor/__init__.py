"""The spawner and its supervisors: a program in C, and what the server shares with it.

``native/`` has its sources, ``programs/`` the program for each machine. ``records`` is the
format of the spool, ``names`` all else that both sides must agree on.
"""
