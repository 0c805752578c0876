"""The engines that start supervisors. ``local`` is this machine's."""
