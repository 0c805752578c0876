"""The places that a server has hidden from its jobs, beside those of the machine (T61)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker.engines.host.hiding import hidden_paths, of_home, of_session


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("XDG_RUNTIME_DIR", "/srv/runtime", ["/srv/runtime"]),
        ("SSH_AUTH_SOCK", "/srv/agent.sock", ["/srv/agent.sock"]),
        ("TMUX", "/srv/tmux/default,123,0", ["/srv/tmux/default"]),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/srv/bus,guid=1", ["/srv/bus"]),
        ("DBUS_SESSION_BUS_ADDRESS", "tcp:host=x;unix:guid=1,path=/srv/b", ["/srv/b"]),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=/srv/bus", []),
        ("SSH_AUTH_SOCK", "relative", []),
        ("OTHER", "/srv/other", []),
    ],
)
def test_what_an_environment_names_of_a_session(
    variable: str, value: str, found: list[str]
) -> None:
    assert [str(path) for path in of_session({variable: value})] == found


def test_the_keys_in_a_home_are_named_whether_they_are_there_or_not() -> None:
    assert {Path("/nowhere/.ssh"), Path("/nowhere/.gnupg")} <= set(of_home("/nowhere"))


@pytest.mark.parametrize("home", ["", "/", "relative"])
def test_a_home_that_is_no_place_of_an_account_has_none(home: str) -> None:
    assert of_home(home) == []


def test_a_link_is_hidden_and_what_it_leads_to(shared_dir: Path) -> None:
    state, link = shared_dir / "state", shared_dir / "link"
    state.mkdir()
    link.symlink_to(state)
    assert {state, link} <= set(hidden_paths(link, []))


def test_what_a_job_has_of_its_own_needs_no_cover() -> None:
    assert not any(path.is_relative_to("/tmp") for path in hidden_paths(Path("/tmp/state"), []))
