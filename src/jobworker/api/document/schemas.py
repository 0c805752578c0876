"""The JSON schemas of bodies and parameters, from the types that validate them."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import UNSET, Struct

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"


def reference(shape: type[Struct]) -> Json:
    """A reference to the schema of ``shape`` in the document."""
    return {"$ref": _REF.format(name=shape.__name__)}


def schemas(shapes: Iterable[type[Struct]], queries: Iterable[type[Struct]]) -> Json:
    """By name, ``shapes`` and every type that they or the parameters of ``queries`` use."""
    queries = set(queries)
    _, components = msgspec.json.schema_components([*shapes, *queries], ref_template=_REF)
    for query in queries:
        del components[query.__name__]
    for shape in _structs(shapes):
        _require_what_is_always_sent(components[shape.__name__], shape)
    tidied: Json = _tidy(components)
    return tidied


def properties(query: type[Struct]) -> Json:
    """The schema of each parameter of ``query``, by name."""
    _, components = msgspec.json.schema_components([query], ref_template=_REF)
    tidied: Json = _tidy(components[query.__name__].get("properties", {}))
    return tidied


def is_request(shape: type[Struct]) -> bool:
    """Whether ``shape`` is sent by clients: there a field with a default may be left out."""
    return shape.__struct_config__.forbid_unknown_fields


def _require_what_is_always_sent(schema: Json, shape: type[Struct]) -> None:
    if not is_request(shape):
        schema["required"] = [
            each.encode_name for each in msgspec.structs.fields(shape) if each.default is not UNSET
        ]


def _structs(shapes: Iterable[type[Struct]]) -> Iterable[type[Struct]]:
    """``shapes`` and every Struct that their fields use, each once."""
    found: dict[type[Struct], None] = {}
    waiting: list[Any] = list(msgspec.inspect.multi_type_info(shapes))
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                continue
            found[info.cls] = None
            waiting += [each.type for each in info.fields]
        else:
            waiting += _inside(info)
    return found


def _inside(info: Any) -> Iterable[Any]:
    """The types that a list, a dictionary, a union or an annotation is made of."""
    for name in ("item_type", "key_type", "value_type", "type"):
        if (inner := getattr(info, name, None)) is not None:
            yield inner
    yield from getattr(info, "types", ())


def _tidy(node: Any) -> Any:
    """``node`` with docstrings as descriptions: without their indent, code as in Markdown."""
    if isinstance(node, dict):
        tidied = {key: _tidy(value) for key, value in node.items()}
        if isinstance(text := node.get("description"), str):
            tidied["description"] = cleandoc(text).replace("``", "`")
        return tidied
    return [_tidy(each) for each in node] if isinstance(node, list) else node
