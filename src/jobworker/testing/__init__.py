"""Stand-ins for tests of code that uses this library; no process, no disk.

They are held to the contract tests of the real ones.
"""

from __future__ import annotations

from jobworker.testing.archive import MemoryArchive
from jobworker.testing.clock import FakeClock
from jobworker.testing.engine import FakeEngine
from jobworker.testing.output import MemoryOutput
from jobworker.testing.owners import MemoryOwners

__all__ = ["FakeClock", "FakeEngine", "MemoryArchive", "MemoryOutput", "MemoryOwners"]
