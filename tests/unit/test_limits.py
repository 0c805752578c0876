"""Each limit of the table is in every place that is made from it, with the same bounds.

A limit that is added to the table and to nothing else fails here, by its name.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from jobworker import limits
from jobworker.api.bodies import ExtendRequest, StartRequest
from jobworker.api.limits import LimitsRequest, LimitsView, limits_from, limits_view
from jobworker.cli import limits as options
from jobworker.cli import main, program
from jobworker.cli.invocation import UsageError
from jobworker.client import answers, requests
from jobworker.engines.host import cgroups, enforcement
from jobworker.engines.host.cgroups import Cgroups
from jobworker.engines.host.enforcement import Enforcement, check_limits
from jobworker.engines.local.spec_record import spec_fields
from jobworker.errors import LimitTooHigh, LimitUnavailable
from jobworker.limits import GRACE, LIMITS, RESOURCES, SECONDS, TIMEOUT, Limit
from jobworker.model import Job, JobId, Limits, Spec, Starting, Terms
from jobworker.policy import tables
from jobworker.policy.limits import Ceiling, effective, exceeds
from jobworker.policy.rules import DEFAULT_LIMITS
from support import native

DOCS = Path(__file__).parents[2] / "docs"

each_limit = pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
each_bound = pytest.mark.parametrize("limit", [*LIMITS, GRACE], ids=lambda limit: limit.name)


def below(limit: Limit) -> float:
    """A number just below the least."""
    return limit.range.least - (1 if limit.kind.number is int else 0.0005)


def limits_with(limit: Limit, amount: float) -> Limits:
    chosen: dict[str, Any] = {limit.name: amount}
    return Limits(**chosen)


def refuses(read: Any, error: type[Exception], *values: float) -> bool:
    for value in values:
        with pytest.raises(error):
            read(value)
    return True


def test_the_model_has_every_limit_and_no_other() -> None:
    found = [(each.name, each.type, each.default) for each in dataclasses.fields(Limits)]
    assert found == [(limit.name, limit.kind.number | None, None) for limit in LIMITS]
    assert Limits.__module__ == "jobworker.model.spec"


def test_names_follow_from_each_other() -> None:
    open_files = next(limit for limit in LIMITS if limit.name == "open_files")
    assert (open_files.option, open_files.field) == ("open-files", "openFiles")
    assert (open_files.path, TIMEOUT.path) == ("limits.openFiles", "timeout")


@each_bound
def test_the_command_line_sends_it(limit: Limit) -> None:
    _, call = main.understand(
        ["start", f"--{limit.option}", str(limit.range.most), "--", "/bin/true"]
    )
    sent: Any = program.Order(call).options
    asked = msgspec.convert({"program": "/bin/true", **sent}, StartRequest)
    for name in limit.path.split("."):
        sent = sent[name]
    assert sent == limit.range.most
    if limit is not GRACE:
        found = limits_from(asked.limits, asked.timeout)
        assert found == limits_with(limit, limit.range.most)


@each_bound
def test_the_command_line_keeps_to_its_bounds(limit: Limit) -> None:
    def read(value: float) -> float:
        return options.amount(limit, str(value), "it")

    assert read(limit.range.least) == limit.range.least
    assert read(limit.range.most) == limit.range.most
    assert refuses(read, UsageError, limit.range.most + 1, below(limit))


@each_bound
def test_the_api_keeps_to_its_bounds(limit: Limit) -> None:
    first, *rest = limit.path.split(".")

    def read(value: float) -> StartRequest:
        inner: Any = {rest[0]: value} if rest else value
        return msgspec.convert({"program": "/bin/true", first: inner}, StartRequest)

    assert read(limit.range.least)
    assert read(limit.range.most)
    assert refuses(read, msgspec.ValidationError, limit.range.most + 1, below(limit))


def test_an_extension_has_the_bounds_of_a_timeout() -> None:
    def read(value: float) -> ExtendRequest:
        return msgspec.convert({"seconds": value}, ExtendRequest)

    assert read(TIMEOUT.range.most)
    assert refuses(read, msgspec.ValidationError, TIMEOUT.range.most + 1, below(TIMEOUT))


@each_limit
def test_the_configuration_file_keeps_to_its_bounds(limit: Limit) -> None:
    """What may be asked for may be a ceiling; a duration need only be above 0 to be one."""
    read = tables.LIMITS[limit.option]
    assert read(limit.range.least) == limit.range.least
    assert read(limit.range.most) == limit.range.most
    least = 0 if limit.kind is SECONDS else below(limit)
    assert refuses(read, ValueError, limit.range.most + 1, least)


def test_the_configuration_file_has_no_other_limit() -> None:
    assert list(tables.LIMITS) == [limit.option for limit in LIMITS]


def test_answers_have_every_limit_and_no_other() -> None:
    assert LimitsRequest.__struct_encode_fields__ == tuple(each.field for each in RESOURCES)
    assert LimitsView.__struct_encode_fields__ == tuple(each.field for each in LIMITS)
    shown = msgspec.to_builtins(limits_view(Limits(open_files=8, timeout=1.5)))
    assert shown == {each.field: None for each in LIMITS} | {"openFiles": 8, "timeout": 1.5}


@each_limit
def test_the_client_types_it(limit: Limit) -> None:
    kind = limit.kind.number | None
    assert get_type_hints(answers.LimitsView)[limit.field] == kind
    asked = requests.LimitsRequest if limit in RESOURCES else requests.StartOptions
    assert get_type_hints(asked)[limit.field] == kind


def written_out() -> dict[str, dict[str, str]]:
    """The classes of the table's module that only type checkers see: their fields and types."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(limits))):
        if isinstance(node, ast.ClassDef) and not hasattr(limits, node.name):
            found[node.name] = {
                ast.unparse(each.target): ast.unparse(each.annotation)
                for each in node.body
                if isinstance(each, ast.AnnAssign)
            }
    return found


def test_what_type_checkers_see_is_the_table() -> None:
    assert written_out() == {
        "Limits": {each.name: f"{each.kind.number.__name__} | None" for each in LIMITS},
        "LimitsRequest": {each.field: f"{each.kind.number.__name__} | None" for each in RESOURCES},
        "LimitsView": {each.field: f"{each.kind.number.__name__} | None" for each in LIMITS},
    }


@each_limit
def test_the_policy_holds_it_to_a_ceiling(limit: Limit) -> None:
    least, most = limit.range.least, limit.range.most
    more, ceiling = (least, most) if limit.ceiling_is_least else (most, least)
    assert exceeds(limit, more, ceiling)
    with pytest.raises(LimitTooHigh, match=f"^{limit.path} ") as refused:
        effective(limits_with(limit, more), Limits(), [Ceiling(limits_with(limit, ceiling), "x")])
    assert refused.value.field == limit.path


def test_built_in_defaults_are_those_of_the_table() -> None:
    assert {each.name: each.default for each in LIMITS} == dataclasses.asdict(DEFAULT_LIMITS)
    assert all(each.default is None or each.default in each.range for each in LIMITS)


def test_each_limit_is_enforced_by_an_engine_or_by_a_supervisor() -> None:
    enforced = [*enforcement.BY_ENGINE, *enforcement.BY_SUPERVISOR]
    assert sorted(enforced) == sorted(limit.name for limit in LIMITS)


def test_jobd_doctor_tells_of_each_limit_that_the_machine_has_to_enforce() -> None:
    found = Cgroups(missing=dict.fromkeys(cgroups.CONTROLLERS, "none"))
    rows = enforcement.table(found, "full", lambda: None, Enforcement("tmp", None, "none"))
    fields = {limit.name: limit.field for limit in LIMITS}
    assert [row.limit for row in rows] == [fields[name] for name in enforcement.BY_ENGINE]


@each_limit
def test_it_is_refused_where_nothing_enforces_it(limit: Limit) -> None:
    rows = [Enforcement(each.field, None, "nothing does") for each in LIMITS]
    asked = limits_with(limit, limit.range.most)
    if limit.name in enforcement.BY_SUPERVISOR:
        check_limits(asked, rows)
        return
    with pytest.raises(LimitUnavailable, match=f"{limit.field} is not enforced here") as refused:
        check_limits(asked, rows)
    assert refused.value.field == limit.path


@native.needs_compiler
@each_limit
def test_a_supervisor_is_told_of_it(limit: Limit) -> None:
    """The program in C names them by itself: here are the names that it knows."""
    job = Job(
        id=JobId.new(),
        owner="alice",
        spec=Spec("/bin/true"),
        terms=Terms(limits_with(limit, limit.range.most)),
        status=Starting(),
        created_at=datetime.now(UTC),
        containment="full",
        node="here",
    )
    accepted, order = native.order(spec_fields(job, "full"))
    assert accepted
    assert float(dict(order)[limit.field]) == pytest.approx(limit.range.most)


def test_what_may_bound_all_jobs_together_is_what_a_cgroup_enforces() -> None:
    assert {each.name for each in LIMITS if each.total} == set(cgroups.CONTROLLERS)
    assert list(tables.TOTAL) == [each.option for each in LIMITS if each.total]


@each_bound
def test_it_stands_in_the_how_to(limit: Limit) -> None:
    page = (DOCS / "how-to" / "limits.md").read_text("utf-8")
    assert re.search(rf"^\| `--{limit.option} [^|]+` \|", page, re.MULTILINE)


@each_limit
def test_the_architecture_says_what_enforces_it(limit: Limit) -> None:
    page = (DOCS / "ARCHITECTURE.md").read_text("utf-8")
    table = page.partition("| limit | enforced by |")[2].partition("\n\n")[0]
    assert f"`{limit.field}`" in table
