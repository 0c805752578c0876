"""Counts what ARCHITECTURE keeps small: rooms, floors, arrows; functions, classes, files.

All of it from the source of ``src/jobworker``, rooms and arrows from its imports, deferred
ones included. ``scripts/rooms`` calls it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median, quantiles

from test_architecture import PACKAGE, SOURCE, Import, imports_of, is_ours, room_of

MOST_SHOWN = 10

Size = tuple[int, str]
"""A number of lines, and of what."""


def main() -> None:
    """Print all counts."""
    imports = imports_of(SOURCE)
    files = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    trees = {path: ast.parse(text, str(path)) for path, text in files.items()}
    functions = [length for tree in trees.values() for length in function_lengths(tree)]
    sizes = [(text.count("\n"), name_of(path)) for path, text in files.items()]
    print("\n".join(rooms(imports)))
    print(
        f"{len(functions):,} functions: median {median(functions):g} lines, "
        f"90th percentile {quantiles(functions, n=10)[-1]:g}"
    )
    print(f"{sum(size for size, _ in sizes):,} lines in {len(sizes)} files")
    print("\n".join(largest("classes", classes(trees))))
    print("\n".join(largest("files", sizes)))


def rooms(imports: Iterable[Import]) -> Iterator[str]:
    """How many rooms, floors and arrows there are, and which rooms are on which floor."""
    graph: dict[str, set[str]] = {}
    for each in imports:
        above = graph.setdefault(each.room, set())
        below = room_of(each.target)
        if is_ours(each.target) and below != each.room:
            above.add(below)
            graph.setdefault(below, set())
    floors = floors_of(graph)
    top = max(floors.values())
    arrows = sum(map(len, graph.values()))
    yield f"{len(graph)} rooms on {top} floors, {arrows} arrows"
    for floor in range(top, 0, -1):
        here = sorted(room or PACKAGE for room, on in floors.items() if on == floor)
        yield f"  {floor}  {', '.join(here)}"


def floors_of(graph: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest of those that it imports, 1 for none."""
    floors: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        floors[room] = 1 + max((floors[below] for below in graph[room]), default=0)
    return floors


def function_lengths(tree: ast.Module) -> Iterator[int]:
    """Lines of each function and method, its docstring included and its decorators not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield length_of(node)


def classes(trees: dict[Path, ast.Module]) -> Iterator[Size]:
    """Lines of each class."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield length_of(node), f"{node.name} in {name_of(path)}"


def length_of(node: ast.stmt) -> int:
    """From the first line of a definition to its last."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def largest(kind: str, sizes: Iterable[Size]) -> Iterator[str]:
    """The largest, one on a line."""
    yield f"The largest {kind}:"
    for size, name in sorted(sizes, reverse=True)[:MOST_SHOWN]:
        yield f"  {size:4}  {name}"


def name_of(path: Path) -> str:
    """A file by its path below the package."""
    return str(path.relative_to(SOURCE / PACKAGE))


if __name__ == "__main__":
    main()
