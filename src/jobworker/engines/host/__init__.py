"""What this machine can do: containment, limits, cgroups, file systems."""
