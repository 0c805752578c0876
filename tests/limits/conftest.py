"""The fixtures of this directory alone: ``jobs`` and ``open_jobs``."""

from support.limited_jobs import jobs, open_jobs, own_cgroup

__all__ = ["jobs", "open_jobs", "own_cgroup"]
