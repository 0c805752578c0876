"""The page about the Python library, from the docstrings and signatures of what it offers.

The tables say in which order things stand. What is offered and stands in none of them is an
error, so that nothing new is left out.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, is_typeddict

from docs.reference import source

from jobworker import client, embedded, errors, model, testing
from jobworker.api.errors import STATUS
from jobworker.client import answers, profiles, requests
from jobworker.client.calls import Calls
from jobworker.client.retry import Retry, RetryPolicy
from jobworker.errors import JobWorkerError
from jobworker.jobs import manager
from jobworker.jobs.input import InputSession
from jobworker.limits import LIMITS
from jobworker.output.frames import Frame, Selection
from jobworker.output.reader import OutputReader
from jobworker.policy import rules
from jobworker.policy.authority import Authority

Groups = dict[str, str]
"""Names by the heading that they stand under, in order."""

MANAGER: Groups = {
    "Start and change jobs": "start submit rerun stop signal extend attach remove",
    "Ask about jobs": "status glance wait list warning",
    "Read output": "output reader follow frames",
    "Keep up with the rules": "refresh",
    "Look after it": "trouble",
}
OPENED = {"close", "open", "recover"}
"""What ``Manager.open`` does for those who use it, and itself, which comes first."""

CALLS: Groups = {
    "Start and change jobs": "run start rerun stop signal extend remove",
    "Ask about jobs": "status wait list can_start whoami",
    "Read output": "output raw follow frames",
}

MODEL: Groups = {
    "Jobs": "JobId Job brief Usage End Cause Fact NOT_JOBD explain",
    "Times": "time_text microseconds from_microseconds nanoseconds from_nanoseconds",
    "Statuses": (
        "StatusName Status Live Final Queued Starting Running Stopping Completed Failed Stopped"
    ),
    "What is asked for": (
        "Spec Limits NO_LIMITS Input Level LEVELS Role StopRequest SignalRequest StartKey "
        "Safeguards NO_SAFEGUARDS"
    ),
    "What is granted": "Terms Grant Account Executable OnOutputLimit",
    "Output": "Output Stream Piece Gap",
    "Lists": "JobQuery Page KeyBinding",
}

POLICY = "Rules Policy Rule RoleBounds QueueBounds DEFAULT_LIMITS"

ALIASES = {
    "jobworker.jobs.manager": "Frames",
    "jobworker.jobs.outputs": "BatchSize",
    "jobworker.output.reader": "Span",
    "jobworker.config.settings": "Containment",
    "jobworker.client.calls": "Argument",
    "jobworker.client.frames": "StreamName",
    "jobworker.client.requests": "Moment",
    "jobworker.client.session": "OnRetry",
}
"""Names that stand in signatures, and the modules that say what they stand for."""

INTRODUCTION = """\
`Manager` runs jobs from the process that it is in, without a server; `Client` and
`AsyncClient` talk to a server, and how to use them is told step by step in [Use the client
from Python](../how-to/python.md). These three are imported from `jobworker` itself, the other
names from the modules that are given with them.
"""


def python() -> str:
    """The whole page."""
    sections = {
        "Manager": _manager(),
        "Client and AsyncClient": _clients(),
        "Model": _model(),
        "Errors": _errors(),
        "Policy": _policy(),
        "Testing": _testing(),
        "Names in signatures": _aliases(),
    }
    contents = [f"* [{title}](#{title.lower().replace(' ', '-')})" for title in sections]
    parts = ["\n".join(contents)]
    for title, section in sections.items():
        parts += [f"## {title}", *section]
    return "\n\n".join([" ".join(INTRODUCTION.split()), *parts]) + "\n"


def _manager() -> Iterator[str]:
    kind = manager.Manager
    yield "`from jobworker import Manager`"
    yield source.prose(inspect.getdoc(kind))
    yield "### Open a manager"
    yield _code("async with Manager.open(state_dir) as manager:\n    ...")
    yield from _method(embedded.Manager, "open", level=4)
    yield (
        "`Archive`, `Owners`, `Engine` and `Clock` are protocols of `jobworker.jobs.ports`; "
        "`jobworker.testing` has stand-ins for them ([Testing](#testing))."
    )
    yield "The database can be opened apart from the manager, for what else is kept in it:"
    yield from _function("jobworker.embedded", embedded.open_database)
    yield from _grouped(kind, MANAGER, OPENED, level=3)
    yield "### What it gives"
    yield from _class(InputSession, named=True, made=False)
    for each in (OutputReader, Frame, Selection):
        yield from _class(each, named=True)


def _clients() -> Iterator[str]:
    yield "`from jobworker import AsyncClient, Client`"
    for kind in (client.Client, client.AsyncClient):
        yield f"### {kind.__name__}"
        yield from _made(kind)
        for name in source.methods(source.class_of(kind)):
            yield from _method(kind, name, level=4)
    yield "### The calls of both"
    yield source.prose(inspect.getdoc(Calls))
    yield (
        "Each stands here as `AsyncClient` has it. Those of `Client` are without `async`, and "
        "its `raw`, `follow` and `frames` are generators that block."
    )
    yield from _grouped(Calls, CALLS, (), level=4)
    yield "### What the clients are made of"
    yield from _class(client.Profile, named=True)
    yield from _function("jobworker.client.profiles", profiles.load)
    yield from _class(RetryPolicy, named=True)
    yield from _class(Retry, named=True)
    yield "### What the calls give"
    yield from _class(client.Finished, named=True, made=False)
    yield from _class(client.Frame, named=True)
    yield from _class(client.End, named=True)
    yield "### Fields of requests"
    yield _types(requests)
    yield "### Fields of answers"
    yield "Plain dictionaries; the types are for type checkers."
    yield _types(answers)


def _model() -> Iterator[str]:
    yield "`from jobworker.model import …`"
    yield source.summary(inspect.getdoc(model))
    constants = {
        name: found
        for module_name, module in sorted(sys.modules.items())
        if module_name.startswith("jobworker.model.")
        for name, found in source.assigned_in(module).items()
    }
    _expect_all(MODEL, model.__all__, "model")
    for title, names in MODEL.items():
        yield f"### {title}"
        for name in names.split():
            yield from _named(name, getattr(model, name), constants)


def _named(name: str, value: Any, constants: dict[str, tuple[str, str]]) -> Iterator[str]:
    """A class, a function or a constant, under its name."""
    if name in constants:
        meaning, doc = constants[name]
        if not doc:
            raise ValueError(f"{name} has no docstring")
        yield f"#### {name}"
        yield _code(f"{name} = {meaning}")
        yield source.prose(doc)
    elif inspect.isclass(value):
        yield from _class(value)
        if value is model.Limits:
            yield "\n".join(f"* `{limit.name}`: {limit.answered}" for limit in LIMITS)
    else:
        yield f"#### {name}"
        yield _code(source.signature(source.function(value)))
        yield source.prose(inspect.getdoc(value))


def _errors() -> Iterator[str]:
    yield "`from jobworker.errors import …`"
    yield from _class(JobWorkerError)
    yield (
        "The status is that of the HTTP API's answer; an error without one is not met there. "
        "Each class is a `JobWorkerError`."
    )
    rows = ["| class | code | status | when |", "| --- | --- | --- | --- |"]
    for kind in _subclasses(errors):
        doc = " ".join(source.prose(inspect.getdoc(kind)).split())
        status = STATUS.get(kind, "")
        rows.append(f"| `{kind.__name__}` | `{kind.code}` | {status} | {doc} |")
    yield "\n".join(rows)


def _subclasses(module: Any) -> Iterator[type[JobWorkerError]]:
    for value in vars(module).values():
        if inspect.isclass(value) and value is not JobWorkerError:
            assert issubclass(value, JobWorkerError)
            yield value


def _policy() -> Iterator[str]:
    yield (
        "`Manager.open` takes an `authority`. Without one every program may be run, under the "
        "limits of `DEFAULT_LIMITS`."
    )
    yield "`from jobworker.policy.authority import Authority`"
    yield from _class(Authority, without={"ask", "may_take_long"})
    yield "`from jobworker.policy.rules import …`"
    constants = source.assigned_in(rules)
    for name in POLICY.split():
        yield from _named(name, getattr(rules, name), constants)


def _testing() -> Iterator[str]:
    yield "`from jobworker.testing import …`"
    yield source.prose(inspect.getdoc(testing))
    fakes = [(name, inspect.getdoc(getattr(testing, name))) for name in testing.__all__]
    yield "\n".join(f"* `{name}`: {source.summary(doc)}" for name, doc in fakes)
    yield "A manager over them needs no process and no disk but the lock of its state directory:"
    yield _code(
        "async with Manager.open(\n"
        "    tmp_path, engine=FakeEngine(), archive=MemoryArchive(), owners=MemoryOwners()\n"
        ") as manager:\n"
        "    ..."
    )


def _aliases() -> Iterator[str]:
    rows = ["| name | stands for |", "| --- | --- |"]
    for module, name in ALIASES.items():
        meaning, doc = source.assigned_in(import_module(module))[name]
        told = f": {source.prose(doc)}" if doc else ""
        escaped = meaning.replace("|", r"\|")
        rows.append(f"| `{name}` | `{escaped}`{told} |")
    yield "\n".join(rows)


def _grouped(
    kind: type, groups: Groups, elsewhere: Collection[str], *, level: int
) -> Iterator[str]:
    """The methods of a class, by group."""
    offered = source.methods(source.class_of(kind)).keys() - elsewhere
    _expect_all(groups, offered, kind.__name__)
    for title, names in groups.items():
        yield f"{'#' * level} {title}"
        for name in names.split():
            yield from _method(kind, name, level=level + 1)


def _expect_all(groups: Groups, offered: Iterable[str], of: str) -> None:
    """Raise ``ValueError`` where what is offered is not what is shown."""
    shown = {name for names in groups.values() for name in names.split()}
    if different := shown ^ set(offered):
        raise ValueError(f"of {of}: {', '.join(sorted(different))}: shown or offered, not both")


def _class(
    kind: type, *, named: bool = False, made: bool = True, without: Collection[str] = ()
) -> Iterator[str]:
    """A class with its fields, attributes and methods.

    ``named`` tells which module it is in, ``made`` how it is made; ``without`` leaves out
    what is for other rooms.
    """
    yield f"#### {kind.__name__}"
    if named:
        yield f"`from {_home(kind)} import {kind.__name__}`"
    if made:
        yield from _made(kind)
    else:
        yield source.prose(inspect.getdoc(kind))
    methods = source.methods(source.class_of(kind))
    shown = {name: node for name, node in methods.items() if name not in without}
    if members := [*_attributes(kind), *_properties(kind, shown)]:
        yield "\n".join(members)
    for name, node in shown.items():
        if not source.is_property(node):
            yield from _method(kind, name, level=5)


def _made(kind: type) -> Iterator[str]:
    """How an object of the class is made, and what it is."""
    is_protocol = getattr(kind, "_is_protocol", False)
    if is_dataclass(kind) or ("__init__" in vars(kind) and not is_protocol):
        yield _code(source.construction(kind))
    yield source.prose(inspect.getdoc(kind))


def _attributes(kind: type) -> Iterator[str]:
    """A line for each value of an enumeration, and each attribute of the class."""
    own = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    for name, (value, doc) in source.assignments(source.class_of(kind).body).items():
        if not name.startswith("_") and name not in own:
            told = f": {source.prose(doc)}" if doc else ""
            is_computed = value.startswith("f")
            yield f"* `{name}`{told}" if is_computed else f"* `{name} = {value}`{told}"


def _properties(kind: type, methods: dict[str, source.Function]) -> Iterator[str]:
    for name, each in methods.items():
        if source.is_property(each) and each.returns is not None:
            doc = inspect.getdoc(getattr(kind, name))
            yield f"* `{name}: {source.text_of(each.returns)}`: {source.prose(doc)}"


def _method(kind: type, name: str, *, level: int) -> Iterator[str]:
    method = inspect.getattr_static(kind, name)
    of = "" if kind is Calls else f"{kind.__name__}."
    yield f"{'#' * level} {of}{name}"
    yield _code(source.signature(source.function(method)))
    yield source.prose(inspect.getdoc(getattr(kind, name)))


def _function(module: str, function: Any) -> Iterator[str]:
    yield f"#### {function.__name__}"
    yield f"`from {module} import {function.__name__}`"
    yield _code(source.signature(source.function(function)))
    yield source.prose(inspect.getdoc(function))


def _types(module: Any) -> str:
    """The dictionaries of a module, as they stand in it, with what each is as a comment."""
    kinds = [
        kind
        for kind in vars(module).values()
        if is_typeddict(kind) and kind.__module__ == module.__name__
    ]
    stubs = [f"# {source.summary(inspect.getdoc(kind))}\n{source.stub(kind)}" for kind in kinds]
    return _code("\n\n\n".join(stubs).replace("`", ""))


def _home(kind: type) -> str:
    """The module that offers a class: the nearest package that has it in its ``__all__``."""
    package = kind.__module__.rpartition(".")[0]
    offered = getattr(import_module(package), "__all__", ())
    return package if kind.__name__ in offered else kind.__module__


def _code(text: str) -> str:
    return f"```python\n{text}\n```"
