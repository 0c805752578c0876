"""docs/reference/configuration.md has every key, and its example is one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobworker.config.jobs import KEYS as JOBS
from jobworker.config.jobs import TABLE, job_settings
from jobworker.config.settings import POLICY_TABLES, SETTINGS
from jobworker.config.toml import Source
from jobworker.policy.tables import (
    DEFAULTS,
    LIMITS,
    PER_USER,
    POLICY,
    QUEUE,
    RULE,
    TOTAL,
    rules_from,
)

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "configuration.md").read_text("utf-8")


def keys_of(heading: str) -> set[str]:
    """The keys in the tables below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("Settings", SETTINGS),
        ("`[limits.user]` and `[limits.admin]`", DEFAULTS),
        ("`[total]`", TOTAL),
        ("`[per-user]`", PER_USER),
        ("`[jobs]`", JOBS),
        ("`[queue]`", QUEUE),
        ("`[policy]`", POLICY),
        ("`[[policy.rules]]`", RULE),
    ],
)
def test_every_key_stands_in_the_reference(heading: str, keys: Iterable[str]) -> None:
    assert keys_of(heading) == set(keys)


def test_ceilings_have_the_keys_of_limits_but_one() -> None:
    assert set(DEFAULTS) - set(LIMITS) == {"on-output-limit"}


def test_the_example_can_be_loaded_and_has_every_table() -> None:
    example = PAGE.partition("```toml\n")[2].partition("```")[0]
    content = tomllib.loads(example)
    rules = rules_from(content, Source("example", example))
    assert set(content) == {*SETTINGS, *POLICY_TABLES, TABLE}
    assert job_settings(content, Source("example", example)).oom_score_adj == 500
    assert [rule.name for rule in rules.policy.rules] == ["admins", "reports"]
