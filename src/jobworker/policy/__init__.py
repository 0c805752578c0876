"""The policy: who may run which program, as whom, with what limits.

``rules`` has the values, ``decide`` and ``limits`` the decisions on them (pure),
``tables`` and ``load`` make them from the configuration, ``files`` and ``accounts`` ask
the machine, and ``authority`` is the one object that the rooms above hold.
"""
