"""The room of the spawner and the supervisors: standard library and own files only.

The spawner imports it as the top-level package ``supervisor``, so that
``jobworker/__init__`` and its imports stay out of every supervisor's memory.
"""
