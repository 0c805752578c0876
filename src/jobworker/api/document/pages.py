"""The pages for people: what this is, and the API's reference, made from its document.

Plain HTML with its style inside: nothing is fetched from anywhere and no script runs, which
``POLICY`` has every browser enforce.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from jobworker.version import VERSION

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 0 1rem 4rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 2.5rem; overflow-wrap: anywhere; }
code, pre { font: .875em/1.5 ui-monospace, monospace; background: var(--soft); }
code { padding: .1em .3em; overflow-wrap: anywhere; }
pre { padding: .75rem; overflow-x: auto; }
a { color: light-dark(#0550ae, #79b8ff); }
nav ul { columns: 18rem; padding: 0; list-style: none; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0;
  border-bottom: 1px solid var(--soft); }
th { font-weight: 600; white-space: nowrap; }
summary { cursor: pointer; padding: .3rem 0; }
small { color: light-dark(#555, #aaa); }
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--soft); }
  td { display: block; padding: 0; border: 0; }
}
"""

POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The pages' Content-Security-Policy: the one style by its digest, and nothing else."""


def home() -> str:
    """The home page: what answers here; for anybody, so it tells nothing of the machine."""
    return _page(
        "Job worker",
        [
            f"<h1>Job worker {escape(VERSION)}</h1>",
            "<p>Runs programs as jobs, for users who have no shell on the machine.</p>",
            '<ul><li><a href="/docs">How to call it</a></li>',
            '<li><a href="/openapi.json">The same for programs, as OpenAPI 3.1</a></li></ul>',
        ],
    )


def reference(document: Json) -> str:
    """The reference of the API that an OpenAPI ``document`` describes."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    return _page(
        title, [f"<h1>{escape(title)}</h1>", *_text(info["description"]), *_body(document)]
    )


def _page(title: str, body: Iterable[str]) -> str:
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # An icon of nothing keeps browsers from asking for one.
            '<link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>",
            *body,
            "</html>\n",
        ]
    )


def _body(document: Json) -> Iterator[str]:
    operations = [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    tags = [
        (tag, [each for each in operations if tag["name"] in each[2]["tags"]])
        for tag in document["tags"]
    ]
    yield '<p>For programs: <a href="/openapi.json">/openapi.json</a>.</p>\n<nav><ul>'
    for _, tagged in tags:
        for method, path, operation in tagged:
            link = f'<a href="#{operation["operationId"]}">{_call(method, path)}</a>'
            yield f"<li>{link}</li>"
    yield '<li><a href="#schemas">Types</a></li></ul></nav>'
    for tag, tagged in tags:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2>"
        yield from _text(tag["description"])
        for method, path, operation in tagged:
            yield from _operation(method, path, operation, document)
    yield '<h2 id="schemas">Types</h2>'
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)


def _operation(method: str, path: str, operation: Json, document: Json) -> Iterator[str]:
    yield f'<section><h3 id="{operation["operationId"]}">{_call(method, path)}</h3>'
    yield from _text(operation["description"])
    who = "with a token" if operation["security"] else "for anybody, without a token"
    yield f"<p><small>{who}</small></p>"
    yield from _table(
        ("Parameter", "In", "Type", "Meaning"),
        [
            (_code(each["name"]), each["in"], _type(each["schema"]), _inline(_meaning(each)))
            for each in operation["parameters"]
        ],
    )
    if body := operation.get("requestBody"):
        yield f"<h4>Body{'' if body['required'] else ', which may be left out'}</h4>"
        yield from _content(body["content"])
    yield "<h4>Answers</h4>"
    for status, answer in operation["responses"].items():
        summary = f"{_code(status)} {_inline(answer['description'])}"
        opened = " open" if status.startswith("2") else ""
        yield f"<details{opened}><summary>{summary}</summary>"
        yield from _table(
            ("Header", "Type", "Meaning"),
            [
                (_code(name), _type(header["schema"]), _inline(header["description"]))
                for name, header in answer.get("headers", {}).items()
            ],
        )
        yield from _content(answer.get("content", {}), document)
        yield "</details>"
    yield "</section>"


def _content(content: Json, document: Json | None = None) -> Iterator[str]:
    """Each media type with its type and an example."""
    for name, medium in content.items():
        schema = medium["schema"]
        about = schema.get("description")
        yield f"<p>{_code(name)}: {_type(schema)}{'; ' + _inline(about) if about else ''}</p>"
        if "example" in medium:
            yield _example(medium["example"])
        for each in medium.get("examples", {}).values():
            yield _example(_followed(each, document or {})["value"])


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield f'<section><h3 id="schema-{escape(name)}">{escape(name)}</h3>'
    yield from _text(schema.get("description", ""))
    if "properties" not in schema:
        yield f"<p>{_type(schema)}</p>"
    required = schema.get("required", ())
    yield from _table(
        ("Field", "Type", "Meaning"),
        [
            (
                _code(field) + ("" if field in required else " <small>may be left out</small>"),
                _type(each),
                _inline(_meaning(each)),
            )
            for field, each in schema.get("properties", {}).items()
        ],
    )
    yield "</section>"


def _meaning(described: Json) -> str:
    """The description of a field or a parameter, with its bounds and its default."""
    schema = described.get("schema", described)
    words = [described.get("description", "")]
    branches = [schema, *schema.get("anyOf", ())]
    for key, text in _BOUNDS.items():
        words += [f"{text} `{each[key]}`" for each in branches if key in each]
    if schema.get("default") not in (None, [], {}) and not isinstance(schema["default"], dict):
        words.append(f"by default `{json.dumps(schema['default'])}`")
    return "; ".join(filter(None, words))


_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "maxLength": "characters at most",
    "pattern": "like",
}


def _type(schema: Json) -> str:
    """The type of a value in words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    for key, joint in (("anyOf", " or "), ("allOf", " with ")):
        if key in schema:
            return joint.join(filter(None, map(_type, schema[key])))
    if "enum" in schema:
        return " or ".join(_code(str(value)) for value in schema["enum"])
    return _plain_type(schema)


def _plain_type(schema: Json) -> str:
    if "code" in schema.get("properties", {}):
        return f"code {_type(schema['properties']['code'])}"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    return escape(schema.get("format") or schema.get("type", "bytes"))


def _followed(example: Json, document: Json) -> Json:
    """The example itself, or the one that it refers to."""
    for part in example.get("$ref", "").split("/")[1:]:
        document = document[part]
    return document if "$ref" in example else example


def _example(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    return f"<pre>{escape(text)}</pre>"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A table whose cells are HTML; none where there are no rows."""
    if rows:
        yield f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        yield from (f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        yield "</table>"


def _text(markdown: str) -> Iterator[str]:
    """The little Markdown that descriptions are written in: paragraphs, lists, code."""
    for block in filter(None, markdown.strip().split("\n\n")):
        if block.startswith("* "):
            items = re.split(r"(?:^|\n)\* ", block)[1:]
            yield f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>"
        else:
            yield f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _call(method: str, path: str) -> str:
    return f"<code>{escape(method.upper())} {escape(path)}</code>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
