"""What a rule may name (T14), and how the file that is meant is told from another (T13)."""

from __future__ import annotations

import grp
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.errors import ConfigurationInvalid
from jobworker.model import Account
from jobworker.policy.accounts import resolve
from jobworker.policy.files import Files, Untrusted, canonical
from jobworker.policy.load import load, warnings
from jobworker.policy.rules import Policy, Rule
from support.trusted import script

pytestmark = pytest.mark.root

NOBODY = 65534


@pytest.fixture
def program(trusted_dir: Path) -> Path:
    (trusted_dir / "bin").mkdir(mode=0o755)
    return script(trusted_dir / "bin" / "report", "echo report")


def group_writable(program: Path) -> None:
    program.chmod(0o775)


def world_writable(program: Path) -> None:
    program.chmod(0o757)


def anothers(program: Path) -> None:
    os.chown(program, NOBODY, 0)


def in_a_group_writable_directory(program: Path) -> None:
    program.parent.chmod(0o775)


def in_a_sticky_directory(program: Path) -> None:
    program.parent.chmod(0o1777)


def in_anothers_directory(program: Path) -> None:
    os.chown(program.parent, NOBODY, 0)


def below_a_writable_directory(program: Path) -> None:
    program.parents[1].chmod(0o757)


def a_link(program: Path) -> None:
    program.rename(program.with_name("real"))
    program.symlink_to("real")


def a_directory(program: Path) -> None:
    program.unlink()
    program.mkdir()


def a_fifo(program: Path) -> None:
    program.unlink()
    os.mkfifo(program, 0o700)


UNSAFE = [
    (group_writable, "can be written by its group"),
    (world_writable, "can be written by everybody"),
    (anothers, "belongs to nobody, who can change it"),
    (in_a_group_writable_directory, "bin can be written by its group"),
    (in_a_sticky_directory, "bin can be written by everybody"),
    (in_anothers_directory, "bin belongs to nobody"),
    (below_a_writable_directory, "can be written by everybody"),
    (a_link, "is a symbolic link to"),
    (a_directory, "is not a regular file"),
    (a_fifo, "is not a regular file"),
]


@pytest.mark.parametrize(("spoil", "why"), UNSAFE)
def test_a_file_that_others_decide_about(
    program: Path, spoil: Callable[[Path], None], why: str
) -> None:
    files = Files()
    files.check(str(program))
    spoil(program)
    with pytest.raises(Untrusted, match=why):
        files.check(str(program))


def configured(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "jobd.toml"
    file.write_text(text)
    return file


def allowing(program: Path | str, more: str = "") -> str:
    return f"[[policy.rules]]\nname='r'\naction='allow'\nprograms=['{program}']\n{more}"


@pytest.mark.parametrize(("spoil", "why"), UNSAFE)
def test_it_is_refused_at_load(
    program: Path, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    """T14."""
    file = configured(tmp_path, allowing(program))
    assert load(file).policy.rules[0].programs == (str(program),)
    spoil(program)
    with pytest.raises(ConfigurationInvalid, match=rf"jobd\.toml:4: rule r: programs .*{why}"):
        load(file)


@pytest.mark.parametrize(
    "spoil", [in_a_group_writable_directory, in_a_sticky_directory, below_a_writable_directory]
)
def test_so_is_the_directory_that_a_pattern_begins_with(
    program: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    file = configured(tmp_path, allowing(f"{program.parent}/*"))
    assert load(file).policy.rules[0].programs == (f"{program.parent}/*",)
    spoil(program)
    with pytest.raises(ConfigurationInvalid, match=r"rule r: programs .* can be written by"):
        load(file)


def test_a_link_says_what_to_name_instead(program: Path, tmp_path: Path) -> None:
    link = program.with_name("link")
    link.symlink_to(program)
    with pytest.raises(ConfigurationInvalid, match=f"to {program}; name that instead"):
        load(configured(tmp_path, allowing(link)))


@pytest.mark.parametrize("path", ["bin/none", "none/report", "none/*"])
def test_what_is_not_there_cannot_be_named(program: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="none does not exist"):
        load(configured(tmp_path, allowing(program.parents[1] / path)))


def test_directories_may_be_links(program: Path, tmp_path: Path) -> None:
    """As /bin is to /usr/bin: what is compared is the canonical path."""
    (program.parents[1] / "link").symlink_to("bin")
    linked = program.parents[1] / "link"
    text = allowing(linked / "report") + allowing(f"{linked}/*").replace("'r'", "'s'")
    rules = load(configured(tmp_path, text)).policy.rules
    assert rules[0].programs == (str(program),)
    assert rules[1].programs == (f"{program.parent}/*",)
    assert load(configured(tmp_path, allowing("/*"))).policy.rules[0].programs == ("/*",)


def test_a_denial_follows_links_and_need_not_be_safe(program: Path, tmp_path: Path) -> None:
    link = program.with_name("link")
    link.symlink_to("report")
    world_writable(program)
    text = allowing(link).replace("allow", "deny")
    assert load(configured(tmp_path, text)).policy.rules[0].programs == (str(program),)


def test_a_digest_is_of_the_content(program: Path) -> None:
    files, path = Files(), str(program)
    right = frozenset({hashlib.sha256(program.read_bytes()).hexdigest()})
    first = files.check(path, right)
    assert files.check(path, right) == first
    with pytest.raises(Untrusted, match="SHA-256"):
        files.check(path, frozenset({"0" * 64}))
    before = program.stat()
    program.write_bytes(program.read_bytes().replace(b"report", b"REPORT"))
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(Untrusted, match="SHA-256"):
        files.check(path, right)


def test_the_digests_that_are_remembered_are_bounded(program: Path) -> None:
    files = Files()
    for number in range(300):
        program.write_text(str(number))
        digest = hashlib.sha256(program.read_bytes()).hexdigest()
        files.check(str(program), frozenset({digest}))
    assert len(files._digests) <= 256


def rewritten(program: Path) -> None:
    program.write_text(program.read_text())


def replaced(program: Path) -> None:
    script(program.with_name("new"), "echo report").rename(program)


def with_its_old_times(program: Path) -> None:
    before = program.stat()
    rewritten(program)
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten, replaced, with_its_old_times])
def test_a_file_that_was_changed_has_another_identity(
    program: Path, change: Callable[[Path], None]
) -> None:
    files = Files()
    before = files.check(str(program))
    assert files.check(str(program)) == before
    change(program)
    assert files.check(str(program)) != before


@given(st.text(st.characters(codec=None)))
def test_no_text_has_no_canonical_path(text: str) -> None:
    assert isinstance(canonical(f"/{text}"), str)


def test_an_account_with_all_its_groups() -> None:
    account = resolve("www-data", server=0)
    assert (account.name, account.uid, account.gid) == ("www-data", 33, 33)
    assert account.gid in account.groups


@pytest.mark.parametrize(
    ("name", "server", "why"),
    [
        ("root", 0, "would be root"),
        ("none-such", 0, "no such account"),
        ("a\0b", 0, "no such account"),
        ("www-data", 1000, "takes a server that runs as root"),
    ],
)
def test_accounts_that_no_job_may_have(name: str, server: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        resolve(name, server)


def test_an_account_that_cannot_be_had_is_refused_at_load(tmp_path: Path) -> None:
    text = "[[policy.rules]]\naction='{}'\nrun-as='{}'\n"
    with pytest.raises(ConfigurationInvalid, match=r":3: rule 1: run-as names 'root'"):
        load(configured(tmp_path, text.format("allow", "root")))
    assert load(configured(tmp_path, text.format("deny", "root"))).policy.rules[0].account is None
    found = load(configured(tmp_path, text.format("allow", "www-data"))).policy.rules[0].account
    assert found == resolve("www-data", 0)


def told_of(rule: Rule) -> list[str]:
    return list(warnings(Policy(False, (rule,))))


@pytest.mark.parametrize("group", ["shadow", "disk", "sudo", "adm"])
def test_an_account_that_is_more_than_an_account_is_told_of(group: str) -> None:
    """T71: docker, disk, lxd, sudo and shadow give a job what no rule meant to give."""
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        pytest.fail(f"Debian has the group {group}; name another that this machine has")
    account = Account("reports", 5000, 5000, (5000, gid))
    rule = Rule("r", programs=("/opt/x",), run_as="reports", account=account)
    (warning,) = told_of(rule)
    assert warning.startswith(
        f"rule r of the policy runs jobs as reports, which is in the group {group} "
    )
    assert not told_of(replace(rule, account=replace(account, groups=(5000,))))


def test_an_account_for_any_program_is_told_of() -> None:
    (warning,) = told_of(Rule("r", run_as="x", account=Account("x", 5000, 5000)))
    assert "runs any program as x" in warning


@pytest.mark.root
def test_a_directory_that_others_write_is_not_one_to_begin_in(
    tmp_path: Path, trusted_dir: Path
) -> None:
    """T71: whoever writes there decides what python runs. The account itself may."""
    text = f"[[policy.rules]]\naction='allow'\nprograms=['/usr/bin/true']\ncwd='{trusted_dir}'\n"
    assert load(configured(tmp_path, text)).policy.rules[0].cwd == str(trusted_dir)
    trusted_dir.chmod(0o777)
    with pytest.raises(ConfigurationInvalid, match=r":4: rule 1: cwd .* can be written by every"):
        load(configured(tmp_path, text))
    trusted_dir.chmod(0o755)
    os.chown(trusted_dir, 33, 33)
    with pytest.raises(ConfigurationInvalid, match="belongs to www-data"):
        load(configured(tmp_path, text))
    assert load(configured(tmp_path, f"{text}run-as='www-data'\n"))
    with pytest.raises(ConfigurationInvalid, match="/none does not exist"):
        load(configured(tmp_path, text.replace(str(trusted_dir), "/none")))


def test_a_program_that_runs_anything_is_told_of() -> None:
    rules = Rule("r", programs=("/usr/bin/perl", "/opt/x")), Rule("d", False, programs=("/bin/sh",))
    (warning,) = warnings(Policy(False, rules))
    assert warning.startswith("rule r of the policy allows perl, which can run any other program")
