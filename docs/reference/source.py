"""Reads the source of what the library offers: signatures, fields and docstrings, as written.

By ``ast`` and not by ``inspect.signature``, so that defaults and types stand in the page as
they stand in the code: ``NO_LIMITS``, not what it is made of.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from jobworker import limits

WIDTH = 88
"""Most characters of a signature on one line."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def function(of: Any) -> Function:
    """The definition of a function or method."""
    node = _parsed(getattr(of, "__func__", of))
    assert isinstance(node, Function)
    return node


def class_of(of: type) -> ast.ClassDef:
    """The definition of a class."""
    node = _parsed(of)
    assert isinstance(node, ast.ClassDef)
    return node


def _parsed(of: Any) -> ast.stmt:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(of))).body[0]
    except OSError:  # made from the table of limits, which has a text for type checkers
        return _for_type_checkers(limits)[of.__name__]


def _for_type_checkers(module: ModuleType) -> dict[str, ast.stmt]:
    """The classes that a module defines under ``TYPE_CHECKING``, by name."""
    blocks = [
        each for each in ast.parse(inspect.getsource(module)).body if isinstance(each, ast.If)
    ]
    classes = [each for block in blocks for each in block.body if isinstance(each, ast.ClassDef)]
    return {each.name: each for each in classes}


def methods(node: ast.ClassDef) -> dict[str, Function]:
    """The public methods of a class, properties among them, by name."""
    found = [each for each in node.body if isinstance(each, Function)]
    return {each.name: each for each in found if not each.name.startswith("_")}


def is_property(node: Function) -> bool:
    """Whether it is read like an attribute."""
    return any(text_of(each) == "property" for each in node.decorator_list)


def assignments(body: Sequence[ast.stmt]) -> dict[str, tuple[str, str]]:
    """What is assigned there: for each name the value and the docstring below it, if any."""
    found = {}
    for node, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = text_of(value), _docstring_in(below)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = text_of(value), _docstring_in(below)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                found |= assignments(node.body)
    return found


def assigned_in(module: ModuleType) -> dict[str, tuple[str, str]]:
    """What a module assigns, names for type checkers included."""
    return assignments(ast.parse(inspect.getsource(module)).body)


def _docstring_in(node: ast.stmt) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""


def text_of(node: ast.AST) -> str:
    """An expression as the formatter of this tree writes it."""
    text = re.sub(r"'([^'\"\\\\]*)'", r'"\1"', ast.unparse(node))
    return text.replace(" ** ", "**")


def signature(node: Function, name: str | None = None) -> str:
    """How it is defined, without its body and its first argument, ``self`` or ``cls``."""
    decorators = [f"@{text_of(each)}\n" for each in node.decorator_list]
    head = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {text_of(node.returns)}" if node.returns else ""
    call = _call(name or node.name, [*_parameters(node.args)], returns, room=len(head) + 1)
    return f"{''.join(decorators)}{head} {call}"


def construction(of: type) -> str:
    """How an object of that class is made: by its ``__init__``, or of its fields."""
    node = class_of(of)
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _call(of.__name__, [*_parameters(each.args)])
    return _call(of.__name__, [*_fields(node)])


def _call(name: str, parameters: list[str], returns: str = "", *, room: int = 0) -> str:
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) + room <= WIDTH:
        return line
    inner = "".join(f"    {each},\n" for each in parameters)
    return f"{name}(\n{inner}){returns}".replace("    *,,", "    *,")


def _parameters(args: ast.arguments) -> Iterator[str]:
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + [*args.defaults]
    for arg, default in zip(positional, defaults, strict=True):
        if arg.arg not in ("self", "cls"):
            yield _parameter(arg, default)
    if args.vararg:
        yield f"*{_parameter(args.vararg)}"
    elif args.kwonlyargs:
        yield "*"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, default)
    if args.kwarg:
        yield f"**{_parameter(args.kwarg)}"


def _parameter(arg: ast.arg, default: ast.expr | None = None) -> str:
    typed = f"{arg.arg}: {text_of(arg.annotation)}" if arg.annotation else arg.arg
    if default is None:
        return typed
    return f"{typed}{' = ' if arg.annotation else '='}{text_of(default)}"


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and not text_of(each.annotation).startswith("Class"):
            typed = f"{text_of(each.target)}: {text_of(each.annotation)}"
            yield typed if each.value is None else f"{typed} = {_default(each.value)}"


def _default(value: ast.expr) -> str:
    """A default as a caller would write it."""
    match value:
        case ast.Call(func=ast.Name(id="field"), keywords=[ast.keyword(value=ast.Name(id="dict"))]):
            return "{}"
        case ast.Call(func=ast.Name(id="field")):
            return "..."
    return text_of(value)


def stub(of: type) -> str:
    """A class as its fields alone, as it stands in the code."""
    node = class_of(of)
    bases = ", ".join([text_of(each) for each in (*node.bases, *node.keywords)])
    fields = [f"    {text_of(each)}" for each in node.body if isinstance(each, ast.AnnAssign)]
    return "\n".join([f"class {node.name}({bases}):", *fields])


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: paragraphs, each on one line, and lists of definitions."""
    blocks = (docstring or "").split("\n\n")
    return "\n\n".join(_definitions(block) or _line(block) for block in blocks)


def summary(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return prose(docstring).split("\n\n", maxsplit=1)[0]


def _line(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def _definitions(block: str) -> str:
    """A list, where terms stand on lines of their own and what they mean is indented below."""
    if "\n    " not in block or block.startswith(" "):
        return ""
    items = re.split(r"\n(?=\S)", block)
    pairs = [item.partition("\n") for item in items]
    return "\n".join(f"* {_line(term)}: {_line(meaning)}" for term, _, meaning in pairs)
