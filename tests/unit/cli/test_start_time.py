"""``jobctl`` starts fast because it loads little; this holds it to that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.client import profiles

DEAR = {"argparse", "contextlib", "dataclasses", "inspect", "msgspec", "pathlib", "typing"}
DEAR |= {"getopt", "gettext"}
NOT_OURS = {"jobworker.model", "jobworker.api.bodies", "tomllib", "encodings.idna", "threading"}
ASYNC = {"asyncio", "h11", "jobworker.client.async_client", "jobworker.client.following"}
HTTP = {"http.client", "email", "urllib.parse", "ipaddress", "random"}
NETWORK = {"ssl", "_ssl", "socket"}


def loaded_by(statement: str) -> set[str]:
    """The modules of a fresh Python, without site-packages, after ``statement``."""
    source = f"import sys; sys.path[:0] = {sys.path!r}; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", source], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "verb", ["status", "start", "stop", "output", "list", "wait", "rm", "why", "show"]
)
def test_a_common_verb_loads_nothing_dear(verb: str) -> None:
    modules = loaded_by(
        f"from jobworker.cli import main, commands; commands.load({verb!r}); "
        "import jobworker.client.client"
    )
    assert modules & (DEAR | NOT_OURS | ASYNC | HTTP) == set()


ONLY_WHERE_NEEDED = {
    f"jobworker.cli.{name}"
    for name in (
        *("verbs.complete", "verbs.completion", "verbs.help"),
        *("cursor", "pages", "suggestions"),
    )
}


@pytest.mark.parametrize("verb", ["status", "start", "run", "stop", "output", "wait", "rm", "why"])
def test_a_common_verb_loads_nothing_of_help_and_completion(verb: str) -> None:
    modules = loaded_by(f"from jobworker.cli import main, commands; commands.load({verb!r})")
    unused = {"jobworker.cli.table", "jobworker.cli.terminal", "difflib", "unicodedata"}
    assert modules & (ONLY_WHERE_NEEDED | unused) == set()


@pytest.mark.parametrize("words", [["ca"], ["start", "sleep"], ["status", "j-x"]])
def test_what_needs_no_server_loads_no_network(words: list[str]) -> None:
    modules = loaded_by(f"from jobworker.cli import main; main.run({words!r})")
    assert modules & NETWORK == set()


def test_a_profile_is_read_without_what_migration_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBCTL_CONFIG", str(tmp_path / "config.json"))
    profiles.store(profiles.Profile("admin", server="https://h:1", ca="/ca.pem", token="t"))
    modules = loaded_by("from jobworker.client import profiles; profiles.load('admin')")
    assert modules & (DEAR | {"tomllib", "jobworker.client.config_migration"}) == set()


def test_the_package_loads_no_client() -> None:
    """``import jobworker`` is what the server and jobctl begin with."""
    modules = loaded_by("import jobworker, jobworker.client")
    assert {name for name in modules if name.startswith("jobworker.")} == {"jobworker.client"}


def test_the_blocking_client_needs_no_library() -> None:
    modules = loaded_by("from jobworker import Client; from jobworker.client import RetryPolicy")
    assert modules & (NOT_OURS | ASYNC) == set()
