"""T70: what holds where the configuration says nothing, and how it is turned off."""

from __future__ import annotations

import tomllib

import pytest

from jobworker.config.toml import Source
from jobworker.errors import ConfigurationInvalid
from jobworker.model import Safeguards
from jobworker.policy.defaults import Defaults, protecting
from jobworker.policy.rules import Rules
from jobworker.policy.tables import rules_from

GB = 1 << 30
LAPTOP = protecting(memory=8 * GB, processes=32_768, disk=400 * GB)


def rules_of(text: str, defaults: Defaults = LAPTOP) -> Rules:
    return rules_from(tomllib.loads(text), Source("jobd.toml", text), defaults)


def test_the_defaults_go_by_what_the_machine_has() -> None:
    assert Defaults(Safeguards(memory=4 * GB, pids=8192), 1024, 100 * GB) == LAPTOP
    tiny = protecting(memory=GB // 4, processes=100, disk=GB)
    assert tiny == Defaults(Safeguards(memory=GB // 8, pids=128), 64, GB // 4)
    large = protecting(memory=1024 * GB, processes=4_194_304, disk=GB)
    assert (large.safeguards, large.running_per_user) == (Safeguards(512 * GB, 8192), 4096)


def test_what_the_file_says_goes_before_them() -> None:
    rules = rules_of("")
    assert rules.safeguards == LAPTOP.safeguards
    assert rules.queue.running_per_user == 1024
    assert rules.stored_output == 100 * GB
    assert rules.total.memory is None, "no job needs a cgroup for it"
    rules = rules_of(
        '[total]\nmemory = "6G"\n[queue]\nmax-running-per-user = 2\n'
        '[per-user]\npids = 50\nstored-output = "1G"\n'
    )
    assert rules.total.memory == 6 * GB
    assert rules.safeguards == Safeguards(None, 50)
    assert (rules.queue.running_per_user, rules.stored_output) == (2, GB)


def test_none_turns_each_off() -> None:
    rules = rules_of(
        '[total]\nmemory = "none"\n[queue]\nmax-running-per-user = "none"\n'
        '[per-user]\npids = "none"\nstored-output = "none"\n'
    )
    assert rules == rules_of("", Defaults(safeguards=Safeguards()))
    assert rules.total.memory is None
    assert rules_of("[total]\npids = 5").safeguards == LAPTOP.safeguards


def test_a_library_bounds_what_it_is_told_to() -> None:
    assert rules_of("", Defaults()) == Rules()
    assert rules_of("[per-user]\npids = 9", Defaults()).safeguards == Safeguards(pids=9)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[per-user]\npids = 0", "per-user.pids must be a whole number from 1"),
        ("[per-user]\npids = 'all'", "per-user.pids must be a whole number from 1"),
        ("[per-user]\nstored-output = 'all'", "'all' is not a size"),
        ("[per-user]\nrunning = 1", "unknown setting 'per-user.running'"),
        ("[total]\npids = 'none'", "total.pids must be a whole number"),
    ],
)
def test_what_cannot_be_a_bound(text: str, why: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        rules_of(text)
    assert why in str(refused.value)
