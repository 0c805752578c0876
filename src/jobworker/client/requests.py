"""What is sent beside a program and its arguments, as the caller writes it: typed.

For type checkers only, like ``answers.py``: ``schema.py`` is the definition, and a test
holds these types to it. Fields are named as on the wire; all may be left out.
"""

from typing import Literal, TypedDict


class LimitsRequest(TypedDict, total=False):
    """What the job may use at most: bytes, CPUs, counts."""

    memory: int | None
    cpus: float | None
    pids: int | None
    openFiles: int | None
    output: int | None
    tmp: int | None
    nice: int | None


class CanStartOptions(TypedDict, total=False):
    """What of a start the policy looks at."""

    env: dict[str, str]
    runAs: str | None
    network: bool


class StartOptions(CanStartOptions, total=False):
    """How to run a program; ``timeout`` and ``grace`` in seconds."""

    cwd: str | None
    name: str | None
    labels: dict[str, str]
    timeout: float | None
    grace: float
    limits: LimitsRequest
    containment: Literal["full", "namespaces", "uid", "basic"] | None
