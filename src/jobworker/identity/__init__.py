"""The users who call, and their rights.

``tokens`` is the form of a bearer token, ``users`` keeps users and tokens in the
database, ``permissions`` decides.
"""
