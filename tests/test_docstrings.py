"""Docstrings in plain English: each begins with a noun or with a verb that has a subject.

Attribute docstrings count too: a string right after an assignment, in a module or a class.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "jobworker"

OPENINGS = re.compile(
    r"(The same|What|Who|Whom|Whose|Which|That which|Those|Where|How|When|Why)(?![\w-])"
)
"""First words that need a neighbour, or a noun before them."""

PHRASES = re.compile(r"\b(not\s+to\s+be\s+had|cannot\s+be\s+had|count\s+not)\b", re.IGNORECASE)
"""Turns of phrase that no reader expects, wherever they stand."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """One docstring and the line that it begins on."""

    line: int
    text: str


def docstrings(tree: ast.Module) -> Iterator[Docstring]:
    for node in ast.walk(tree):
        if isinstance(node, Documented):
            yield from strings(node.body[:1])
        if isinstance(node, ast.Module | ast.ClassDef):
            after = zip(node.body, node.body[1:], strict=False)
            yield from strings([two for one, two in after if is_assignment(one)])


def is_assignment(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign)


def strings(nodes: list[ast.stmt]) -> Iterator[Docstring]:
    """The statements among ``nodes`` that are a string and nothing else."""
    for node in nodes:
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield Docstring(node.lineno, text)
            case _:
                pass


def faults(text: str) -> list[str]:
    """The rules that a docstring breaks."""
    opening = OPENINGS.match(text.strip())
    begins = [f"begins with {opening[0]!r}"] if opening else []
    return begins + [f"says {found[0]!r}" for found in PHRASES.finditer(text)]


def violations(source: Path) -> list[str]:
    """One sentence for each rule that a docstring below ``source`` breaks."""
    found = []
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        place = path.relative_to(source)
        found += [
            f"{place}:{docstring.line}: {fault}"
            for docstring in sorted(docstrings(tree), key=lambda one: one.line)
            for fault in faults(docstring.text)
        ]
    return found


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    found = violations(SOURCE)
    assert not found, "\n".join(found)


def plant(tmp_path: Path, name: str, text: str) -> list[str]:
    """Writes one module and returns what is wrong with it."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return violations(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "The same, sorted.",
        "What a tool prints.",
        "Who waits.",
        "Whom to tell.",
        "Whose job it is.",
        "Which of them.",
        "That which only reads.",
        "Those of one user.",
        "Where it lies.",
        "How it ended.",
        "When it ended.",
        "Why it ended.",
        "What, and when.",
        "\n    What stands on the next line.",
        "A limit that is not to be had here.",
        "A limit that cannot be had.",
        "A limit that cannot\n    be had.",
        "The spans; empty ones count not.",
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, text: str) -> None:
    assert len(plant(tmp_path, "jobs/one.py", f'"""{text}"""\n')) == 1


@pytest.mark.parametrize(
    "code",
    [
        '"""What."""\n',
        'X = 1\n"""What."""\n',
        'X: int\n"""What."""\n',
        'class X:\n    """What."""\n',
        'class X:\n    y: int = 1\n    """What."""\n',
        'class X:\n    def y(self):\n        """What."""\n',
        'def x():\n    """What."""\n',
        'async def x():\n    """What."""\n',
        'def x():\n    def y():\n        """What."""\n',
        'if True:\n    def x():\n        """What."""\n',
    ],
)
@pytest.mark.parametrize("name", ["model/one.py", "cli/verbs/one.py", "units.py"])
def test_it_is_found_wherever_it_stands(tmp_path: Path, name: str, code: str) -> None:
    assert len(plant(tmp_path, name, code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        '"""Whether it ended."""\n',
        '"""Whoever asks is told."""\n',
        '"""The job. What it prints stays."""\n',
        '"""Returns the job."""\n',
        '"""However it ended."""\n',
        'X = "What"\n',
        'def x():\n    y = 1\n    """What."""\n',
    ],
)
def test_what_is_allowed_is_not_found(tmp_path: Path, code: str) -> None:
    assert plant(tmp_path, "jobs/one.py", code) == []
