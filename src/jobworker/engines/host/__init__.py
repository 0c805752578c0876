"""The abilities of this machine: containment, limits, cgroups, file systems."""
