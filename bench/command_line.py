"""Wall time of ``jobctl`` against the start of the Python that it runs on."""

from __future__ import annotations

import statistics
import sys
from contextlib import closing

from bench import programs
from bench.figures import Figure
from bench.server import Server, command

_ROUNDS = 3


def figures(server: Server, runs: int) -> list[Figure]:
    """Each round takes both in turn, ``runs`` times."""
    with closing(server.connect()) as connection:
        job_id = connection.start("/bin/true")
        connection.wait(job_id)
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "status": [command("jobctl"), "status", job_id],
        "run": [command("jobctl"), "run", "--", "/bin/true"],
    }
    rounds = [_round(server, commands, runs) for _ in range(_ROUNDS)]
    ratios = [taken["status"] / taken["python"] for taken in rounds]
    return [
        Figure("`python -c pass`, median", [taken["python"] for taken in rounds], "ms"),
        Figure("`jobctl status ID`, median", [taken["status"] for taken in rounds], "ms"),
        Figure("  times `python -c pass`", ratios, "", at_most=3.2),
        Figure("`jobctl run -- /bin/true`, median", [taken["run"] for taken in rounds], "ms"),
        Figure(
            "  times `python -c pass`",
            [taken["run"] / taken["python"] for taken in rounds],
            "",
            at_most=6.0,
        ),
    ]


def _round(server: Server, commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, words in commands.items():
            taken[name].append(programs.seconds(words, server.environ) * 1000)
    return {name: statistics.median(values) for name, values in taken.items()}
