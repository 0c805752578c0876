"""The account of a job's user: a name that is nobody else's, and files that nothing can break."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobworker.engines.local import account_files
from jobworker.engines.local.account_files import AccountFiles, account_name, passwd_line

PASSWD, GROUP = Path("/etc/passwd").read_bytes(), Path("/etc/group").read_bytes()

MACHINE = {"root", "daemon", "job-daemon", "job-7"}


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("alice", "alice"),
        ("Alice_B.c-d", "Alice_B.c-d"),
        ("root", "job-root"),
        ("daemon", "job-7-2"),
        ("1000", "job-1000"),
        ("4you", "job-4you"),
        ("a:0:0", "job-7-2"),
        ("a\nroot:x:0:0", "job-7-2"),
        ("-rf", "job-7-2"),
        (".", "job-7-2"),
        ("../x", "job-7-2"),
        ("", "job-7-2"),
        ("ä", "job-7-2"),
        ("a" * 33, "job-7-2"),
    ],
)
def test_t81_an_owner_gets_a_name_that_is_no_other_account(owner: str, name: str) -> None:
    assert account_name(owner, 7, MACHINE.__contains__) == name


def test_the_line_has_a_person_a_home_and_a_shell() -> None:
    assert passwd_line("alice", 7, 8) == b"alice:x:7:8:alice:/tmp:/bin/sh\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the machine's ``/etc``, of which the files' times are looked at."""
    for name in ("passwd", "group"):
        (tmp_path / name).write_text("")
    paths = tuple(str(tmp_path / name) for name in ("passwd", "group"))
    monkeypatch.setattr(account_files, "_OF_MACHINE", paths)
    return tmp_path


@pytest.fixture
def makes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the files have been made for, in order."""
    made: list[object] = []
    make = AccountFiles._make

    def noted(*args: object) -> object:
        made.append(args[1])
        return make(*args)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(AccountFiles, "_make", noted)
    return made


async def test_the_files_are_made_once_and_anew_when_the_machines_change(
    machine: Path, tmp_path: Path, makes: list[object]
) -> None:
    files = AccountFiles(tmp_path / "state")
    account = await files.account("alice", 1_900_000_007, 1_900_000_007)
    assert account is not None
    assert account == await files.account("alice", 1_900_000_007, 1_900_000_007)
    assert len(makes) == 1
    (machine / "new").write_text("another")
    (machine / "new").replace(machine / "passwd")
    assert account == await files.account("alice", 1_900_000_007, 1_900_000_007)
    assert len(makes) == 2
    passwd = tmp_path / "state" / "accounts" / account.directory / "passwd"
    lines = passwd.read_text().splitlines()
    assert lines == [
        "alice:x:1900000007:1900000007:alice:/tmp:/bin/sh",
        *PASSWD.decode().splitlines(),
    ]
    assert passwd.stat().st_mode & 0o777 == 0o644


async def test_starts_of_one_owner_at_once_share_the_files(
    tmp_path: Path, makes: list[object]
) -> None:
    """A file that was made anew for each of them would be gone while another one mounts it."""
    files = AccountFiles(tmp_path)
    calls = (files.account("alice", 1_900_000_007, 1_900_000_007) for _ in range(10))
    assert len(set(await asyncio.gather(*calls))) == 1
    assert repr(files) == "<AccountFiles of 1 users>"
    assert makes == ["alice"]


async def test_a_machine_without_such_files_gives_none(machine: Path, tmp_path: Path) -> None:
    (machine / "group").unlink()
    assert await AccountFiles(tmp_path).account("alice", 7, 7) is None


async def test_an_account_of_the_machine_keeps_its_group(tmp_path: Path) -> None:
    """At ``namespaces`` jobs have the server's: by that its name is its owner's, not ours."""
    account = await AccountFiles(tmp_path).account("alice", 65534, 0)
    assert account is not None
    group = tmp_path / "accounts" / account.directory / "group"
    assert group.read_bytes() == GROUP
