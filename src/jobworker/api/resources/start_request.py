"""From the body of ``POST /jobs/start`` to a ``Spec``: every rule in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobworker.api.bodies import StartRequest, WindowRequest
from jobworker.api.fields import MAX_STDIN, argument_text, from_base64
from jobworker.api.limits import limits_from
from jobworker.errors import BodyTooLarge, InvalidRequest
from jobworker.model import Input, Spec

MAX_STRING = 128 * 1024
"""The kernel's MAX_ARG_STRLEN: bytes of one argument or variable, its NUL included."""

MAX_STRINGS = 2 * 1024 * 1024
"""Bytes of all arguments and variables: a quarter of the usual 8 MiB stack, execve(2)."""

MAX_PATH = 4096
"""The kernel's PATH_MAX, its NUL included."""

_POINTER = 8  # what each string costs beside its bytes


def spec_from(request: StartRequest, stdin: bytes | None = None) -> Spec:
    """The spec that ``request`` asks for; raises ``InvalidRequest`` naming the field.

    ``stdin`` is the input that ``stdin_from`` has found in it.
    """
    _check_path("program", request.program, "/bin/echo")
    if request.cwd is not None:
        _check_path("cwd", request.cwd, "/tmp")  # noqa: S108  # an example in a message
    args = tuple(_arguments(request))
    env = dict(_variables(request.env))
    _check_total((request.program, *args, *(f"{key}={value}" for key, value in env.items())))
    if request.name is not None:
        _check_text("name", request.name)
    for key, value in request.labels.items():
        _check_text("labels", key)
        _check_text(f"labels.{key}", value)
    if request.run_as is not None:
        _check_text("runAs", request.run_as)
    return Spec(
        request.program,
        args,
        env,
        request.cwd,
        request.name,
        dict(request.labels),
        limits=limits_from(request.limits, request.timeout),
        grace=request.grace,
        network=request.network,
        run_as=request.run_as,
        containment=request.containment,
        input=_input(request, stdin),
    )


def asked_for(request: StartRequest) -> tuple[bytes | None, Spec]:
    """The input that came with ``request``, and the spec; raises what these two do."""
    stdin = stdin_from(request)
    return stdin, spec_from(request, stdin)


def stdin_from(request: StartRequest) -> bytes | None:
    """The input that came with ``request``; raises ``BodyTooLarge``, ``InvalidRequest``."""
    stdin = request.stdin
    if stdin is None:
        return None
    try:
        data = stdin.encode("utf-8") if isinstance(stdin, str) else from_base64(stdin)
    except ValueError:
        raise InvalidRequest("stdin.base64 is not base64", field="stdin.base64") from None
    if len(data) > MAX_STDIN:
        raise BodyTooLarge(
            f"stdin has {len(data)} bytes; {MAX_STDIN} can come with a start",
            field="stdin",
            hint="have the job started with input: pipe (jobctl run -i), and feed it",
        )
    return data


def _input(request: StartRequest, stdin: bytes | None) -> Input | None:
    if request.window is not None and request.input != "terminal":
        raise InvalidRequest("window: only with input: terminal", field="window")
    if stdin is not None:
        if request.input is not None:
            raise InvalidRequest("stdin and input cannot both be given", field="input")
        return Input.of(stdin)
    if request.input == "terminal":
        window = request.window or WindowRequest(rows=24, cols=80)
        return Input("terminal", rows=window.rows, cols=window.cols)
    return Input("pipe") if request.input else None


def _arguments(request: StartRequest) -> Iterator[str]:
    for number, argument in enumerate(request.args):
        field = f"args[{number}]"
        try:
            text = argument_text(argument)
        except ValueError:
            raise InvalidRequest(f"{field}.base64 is not base64", field=f"{field}.base64") from None
        _check_string(field, text)
        yield text


def _variables(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in env.items():
        _check_text("env", key)
        if not key or "=" in key:
            raise InvalidRequest(
                f"env: {key[:80]!r} is not the name of a variable",
                field="env",
                hint="a name is not empty and has no '='",
            )
        field = f"env.{key[:80]}"
        _check_string(field, value, beside=len(_encoded(key)) + 1)
        yield key, value


def _check_path(field: str, path: str, example: str) -> None:
    _check_text(field, path)
    if not path.startswith("/"):
        raise InvalidRequest(
            f"{field} must be an absolute path, not {path[:80]!r}",
            field=field,
            hint=f"give the whole path, for example {example}",
        )
    if len(_encoded(path)) >= MAX_PATH:
        raise InvalidRequest(f"{field} is longer than {MAX_PATH - 1} bytes", field=field)


def _check_string(field: str, text: str, beside: int = 0) -> None:
    """Refuse what exec cannot pass; ``beside`` is what shares the string with ``text``."""
    _check_text(field, text)
    if len(_encoded(text)) + beside >= MAX_STRING:
        raise InvalidRequest(
            f"{field} is longer than the {MAX_STRING - 1} bytes that the kernel passes on",
            field=field,
            hint="write it to a file, or send it in parts",
        )


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidRequest(f"{field} holds a NUL character, which ends a string", field=field)


def _check_total(strings: tuple[str, ...]) -> None:
    total = sum(len(_encoded(text)) + 1 + _POINTER for text in strings)
    if total > MAX_STRINGS:
        raise InvalidRequest(
            f"args and env take {total} bytes; the kernel passes on at most {MAX_STRINGS}",
            field="args",
            hint="write them to a file and pass its name",
        )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
