"""Who is calling, and what they may do.

``tokens`` is the form of a bearer token, ``users`` keeps users and tokens in the
database, ``permissions`` decides.
"""
