"""Who may import whom: docs/ARCHITECTURE.md, held by a parse of every import.

Deferred imports count, in functions and under TYPE_CHECKING too. A module that is
imported for its types alone still is a thing to know about.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "jobworker"

ROOMS: dict[str, set[str]] = {
    "atomic_file": set(),
    "errors": set(),
    "disk": {"errors"},
    "ballast": {"disk", "errors"},
    "futures": set(),
    "units": set(),
    "version": set(),
    "limits": {"units"},
    "supervisor": set(),
    "signals": {"errors"},
    "tls": {"atomic_file", "errors"},
    "client": {"atomic_file", "errors", "limits"},
    "model": {"limits", "units"},
    "output": {"futures", "model", "supervisor"},
    "config": {"errors", "limits", "model", "units"},
    "policy": {"config", "errors", "limits", "model"},
    "jobs": {"errors", "futures", "model", "output", "policy", "signals"} | {"units"},
    "spool": {"atomic_file", "disk", "model", "output", "supervisor"},
    "engines": {"atomic_file", "config", "disk", "errors", "futures", "jobs", "limits", "model"}
    | {"output", "spool"}
    | {"supervisor"}
    | {"units"},
    "archive": {"ballast", "disk", "errors", "model", "output", "units"},
    "testing": {"archive", "errors", "futures", "jobs", "model", "output", "supervisor"},
    # Puts a manager together.
    "embedded": {"archive", "ballast", "config", "engines", "errors", "jobs", "policy"},
    "identity": {"archive", "errors", "model"},
    "api": {"config", "disk", "errors", "identity", "jobs", "limits", "model", "output", "policy"}
    | {"version"},
    "cli": {"client", "errors", "limits", "signals", "units", "version"},
    # Knows nearly every other: it wires them up.
    "daemon": {
        "api",
        "archive",
        "atomic_file",
        "ballast",
        "client",
        "config",
        "embedded",
        "engines",
        "errors",
    }
    | {"identity", "model", "policy", "tls", "version"},
    # The package itself: the names that it offers, each imported when it is first used.
    "": {"client", "embedded"},
}
"""Each room of src/jobworker and what it imports: no more may be, and no less is."""

LIBRARIES: dict[str, set[str]] = {
    "api": {"granian", "msgspec"},
    "archive": {"alembic", "msgspec", "sqlalchemy"},
    "client": {"h11", "websockets"},
    "identity": {"sqlalchemy"},
    "tls": {"cryptography"},
}
"""Where libraries may be imported. Elsewhere it is the standard library alone: the
supervisor needs nobody, and jobctl starts without site-packages."""


@dataclass(frozen=True)
class Import:
    """One import: where it stands and the full name of what it brings in."""

    module: str
    line: int
    target: str

    @property
    def room(self) -> str:
        return room_of(self.module)


def room_of(module: str) -> str:
    """The first name below the package: a room, or a module that is one by itself."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def read_tree(source: Path) -> dict[str, ast.Module]:
    """Every module below ``source`` by its full name; a package by that of its directory."""
    trees = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


@functools.cache  # a tree is read once
def imports_of(source: Path) -> list[Import]:
    trees = read_tree(source)
    packages = {name for name in trees if (source / name.replace(".", "/")).is_dir()}
    found = []
    for module, tree in trees.items():
        around = module if module in packages else module.rpartition(".")[0]
        for node in ast.walk(tree):
            line = getattr(node, "lineno", 0)
            found += [Import(module, line, name) for name in targets_of(node, around, set(trees))]
    return found


def targets_of(node: ast.AST, around: str, known: set[str]) -> Iterator[str]:
    """What ``node`` imports, as full names; ``around`` is the package that it stands in."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = absolute(module or "", around, level)
            for alias in names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments) if (
            name in {"import_module", "__import__"}
        ):
            yield from (absolute_text(text, around) for text in constants(arguments[:1]))
        case _:
            return


def absolute(module: str, around: str, level: int) -> str:
    """``module`` as a full name; ``level`` counts the dots before it."""
    if not level:
        return module
    parts = around.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [module])])


def absolute_text(text: str, around: str) -> str:
    name = text.lstrip(".")
    return absolute(name, around, len(text) - len(name))


def constants(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def violations(imports: list[Import]) -> list[str]:
    """What breaks the rules of ROOMS and LIBRARIES, one sentence each."""
    return [
        f"{imported.module}:{imported.line}: {imported.room or PACKAGE!r} may not import {why}"
        for imported in imports
        if (why := forbidden(imported))
    ]


def forbidden(imported: Import) -> str | None:
    """Why this import is one too many, or None."""
    top = imported.target.partition(".")[0]
    if not is_ours(imported.target):
        allowed = sys.stdlib_module_names | LIBRARIES.get(imported.room, set())
        return None if top in allowed else f"the library {top!r}"
    room = room_of(imported.target)
    if room == imported.room or room in ROOMS.get(imported.room, set()):
        return None
    return f"{room or PACKAGE!r}"


def unused_arrows(imports: list[Import]) -> list[str]:
    """The arrows of ROOMS that no import stands for."""
    used = {(one.room, room_of(one.target)) for one in imports if is_ours(one.target)}
    arrows = {(room, below) for room, allowed in ROOMS.items() for below in allowed}
    return [f"{room or PACKAGE} -> {below}" for room, below in sorted(arrows - used)]


def ring(imports: list[Import]) -> list[str] | None:
    """One ring of modules that import each other, or None."""
    graph: dict[str, set[str]] = {}
    for imported in imports:
        if is_ours(imported.target) and imported.target != imported.module:
            graph.setdefault(imported.module, set()).add(imported.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return None


def test_every_room_stands_in_the_table() -> None:
    rooms = {room_of(module) for module in read_tree(SOURCE)}
    assert rooms <= set(ROOMS)


def test_the_table_points_downward() -> None:
    """The rules themselves have no ring, so an order from top to bottom exists."""
    graphlib.TopologicalSorter(ROOMS).prepare()


def test_imports_point_downward() -> None:
    found = violations(imports_of(SOURCE))
    assert not found, "\n".join(found)


def test_every_arrow_of_the_table_is_used() -> None:
    unused = unused_arrows(imports_of(SOURCE))
    assert not unused, "no module needs these: " + ", ".join(unused)


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert ring(imports_of(SOURCE)) is None


def plant(tmp_path: Path, files: dict[str, str]) -> list[Import]:
    """Write a small source tree and read its imports."""
    for name, text in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return imports_of(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("client/http.py", "import jobworker.jobs.manager"),
        ("client/http.py", "from jobworker.jobs import manager"),
        ("client/http.py", "from ..jobs.manager import Manager"),
        ("client/http.py", "from .. import jobs"),
        ("client/http.py", "def late():\n    from jobworker.embedded import Manager"),
        ("client/http.py", "if TYPE_CHECKING:\n    from jobworker.embedded import Manager"),
        ("client/http.py", "importlib.import_module('jobworker.jobs.manager')"),
        ("client/http.py", "import_module('..jobs.manager', __package__)"),
        ("client/http.py", "import msgspec"),
        ("supervisor/pump.py", "from jobworker.errors import NotFound"),
        ("supervisor/pump.py", "import sqlalchemy.orm"),
        ("model.py", "import jobworker"),
        ("archive/sql.py", "from jobworker.api.errors import TABLE"),
        ("unknown.py", "import jobworker.model"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, text: str) -> None:
    imports = plant(tmp_path, {"jobs/manager.py": "", "model.py": "", file: text})
    assert len(violations(imports)) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("client/http.py", "import http.client\nfrom jobworker.errors import NotFound"),
        ("client/http.py", "from . import profiles\nfrom .profiles import load"),
        ("supervisor/pump.py", "from . import records\nimport os"),
        ("archive/sql.py", "from sqlalchemy import Table\nfrom jobworker.model import Job"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, text: str) -> None:
    assert violations(plant(tmp_path, {file: text})) == []


def test_an_arrow_that_nobody_uses_is_found(tmp_path: Path) -> None:
    imports = plant(
        tmp_path,
        {"signals.py": "import os", "units.py": "", "model.py": "from jobworker import units"},
    )
    unused = unused_arrows(imports)
    assert "signals -> errors" in unused
    assert "model -> units" not in unused


def test_a_planted_ring_is_found(tmp_path: Path) -> None:
    """One of the imports is deferred, which Python forgives and this does not."""
    imports = plant(
        tmp_path,
        {
            "archive/one.py": "from . import two",
            "archive/two.py": "def late():\n    from jobworker.archive.one import thing",
        },
    )
    assert set(ring(imports) or ()) == {"jobworker.archive.one", "jobworker.archive.two"}
