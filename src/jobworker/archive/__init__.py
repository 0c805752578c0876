"""The archive: the database with every job's record and the output of finished jobs.

``database`` is the one file and its one writer, shared with the identity room;
``sql`` is the archive itself. Code that only SQLite needs stands in ``sqlite``.
"""
