"""Writes the pages that are made from the code, here and in docs/man: scripts/docs calls it.

With --check it writes nothing, and exits with 1 where a page is not what it would write.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.reference import library, manual
from docs.reference.configuration import configuration

from jobworker.api.errors import STATUS
from jobworker.api.route import Route
from jobworker.api.routes import ROUTES
from jobworker.api.wire import Media
from jobworker.cli.commands import VERBS
from jobworker.identity.permissions import FOR_EVERY_USER, Action

DOCS = Path(__file__).parents[1]
NOTE = "<!-- Made by scripts/docs from the code; change it there. -->"


def main() -> int:
    """Write the pages, or check them."""
    pages = {
        "reference/jobctl.md": "\n".join(jobctl()),
        "reference/http.md": "\n".join(http()),
        "reference/configuration.md": configuration(current("reference/configuration.md") or ""),
        "reference/python.md": f"# The Python library\n\n{NOTE}\n\n{library.python()}",
        "man/jobctl.1": manual.jobctl(),
        "man/jobd.1": manual.jobd(),
    }
    stale = [name for name, text in pages.items() if current(name) != text]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/{name} is not what the code says: run scripts/docs")
        return bool(stale)
    for name in stale:
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def current(name: str) -> str | None:
    """What stands in a page now, or None where there is none."""
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def jobctl() -> Iterator[str]:
    """The help of jobctl and of each verb, as it prints them."""
    yield f"# jobctl\n\n{NOTE}\n\n```text\n{help_of()}```\n"
    for name, _, _ in VERBS:
        yield f"## {name}\n\n```text\n{help_of(name)}```\n"


def help_of(*verb: str) -> str:
    """What ``jobctl help`` prints."""
    command = Path(sys.executable).with_name("jobctl")
    return subprocess.run(
        [command, "help", *verb], check=True, capture_output=True, text=True
    ).stdout


def http() -> Iterator[str]:
    """Every route with who may call it and what it answers."""
    yield f"# The HTTP API\n\n{NOTE}\n"
    yield (
        "TLS 1.3, and `Authorization: Bearer <token>` on every call but the public ones. Bodies\n"
        "are JSON. The types of requests and answers, field by field, are in `/openapi.json`,\n"
        "and at `/docs` for reading.\n"
    )
    for route in ROUTES:
        yield f"## {route.method} {route.path}\n"
        yield f"{' '.join((route.handler.__doc__ or '').split())}\n"
        yield f"* For: {permitted(route)}"
        if parameters := route.query.__struct_encode_fields__:
            yield f"* Parameters: {code(parameters)}"
        if route.headers:
            yield f"* Headers: {code(tuple(each.name for each in route.headers))}"
        if route.body and (fields := route.body.__struct_encode_fields__):
            yield f"* Body: {code(fields)}"
        if route.takes:
            yield f"* Body as {media(route.takes)}"
        yield f"* Answers {route.status}{answered(route)}"
        yield f"* Errors: {failures(route)}\n"


def permitted(route: Route) -> str:
    """Who may call it, in words."""
    if route.action is Action.PUBLIC:
        return "anybody"
    return "every user" if route.action in FOR_EVERY_USER else "the job's owner, and admins"


def answered(route: Route) -> str:
    """The fields of a success, and its other forms."""
    fields = f": {code(route.answer.__struct_encode_fields__)}" if route.answer else ""
    if route.waited:
        fields += f"; with `wait`: {code(route.waited.__struct_encode_fields__)}"
    return fields + (f"{'; or' if fields else ''} as {media(route.media)}" if route.media else "")


def media(each: tuple[Media, ...]) -> str:
    """Media types, each with what is in it."""
    return ", ".join(f"`{one.name}` ({one.description})" for one in each)


def failures(route: Route) -> str:
    """Status and code of each error, by status."""
    pairs = sorted({(STATUS[error], error.code) for error in route.all_errors})
    return ", ".join(f"{status} `{name}`" for status, name in pairs)


def code(names: tuple[str, ...]) -> str:
    """Names set as code."""
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
