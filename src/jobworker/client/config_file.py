"""The client's configuration file on disk: it holds tokens, so nobody else may touch it.

The file is 0600 and no symbolic link; its directory can be written by nobody else. A
new version is written beside it and renamed, under a lock, so that writers at the same
moment do not lose each other's profiles and a reader sees one or the other.
"""

from __future__ import annotations

import errno
import os
import stat

from jobworker import atomic_file
from jobworker.errors import ConfigurationInvalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SIZE = 1 << 20
"""Bytes: some 4,000 profiles. A larger file is not one of profiles, and is not read."""

_ELSEWHERE = (
    "keep the file in a directory of your own, and let JOBCTL_CONFIG name it there; without "
    "JOBCTL_CONFIG it is jobctl/config.json in ~/.config"
)
"""The advice about a directory whose mode is not ours to change."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def read(path: str) -> str | None:
    """The file's text, or None where there is no file; raises ``ConfigurationInvalid``."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        _check_file(path, os.fstat(descriptor))
        _check_directory(path)
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, encoding="utf-8") as file:
        try:
            return file.read()
        except OSError as error:
            raise _unusable(path, error) from None
        except UnicodeDecodeError:
            raise ConfigurationInvalid(f"cannot read {path}: it is not UTF-8 text") from None


def update(path: str, change: Callable[[str | None], str]) -> None:
    """Replaces the file's text by ``change(text)``; writers take turns.

    Raises ``ConfigurationInvalid`` where the file or its directory cannot be used.
    """
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _check_directory(path)
        with _Lock(path):
            _replace(path, change(read(path)))
    except OSError as error:
        raise _unusable(path, error) from None


def move(source: str, path: str, change: Callable[[str], str]) -> None:
    """Replaces the text of ``source`` by ``change(text)`` and renames it to ``path``.

    Does nothing where ``path`` exists or ``source`` does not: another process was faster.
    Both lie in one directory. Raises ``ConfigurationInvalid`` as ``update`` does.
    """
    try:
        # The second is for writers of an earlier version, which know no other.
        with _Lock(path), _Lock(source):
            text = read(source)
            if text is not None and not os.path.lexists(path):
                _replace(source, change(text))
                os.rename(source, path)
                atomic_file.sync_directory_of(path)
            os.unlink(_beside(source, "lock"))  # nobody takes turns at it any more
    except OSError as error:
        raise _unusable(source, error) from None


class _Lock:
    """Held by one writer of the file ``path`` at a time, from entry to exit."""

    def __init__(self, path: str) -> None:
        self._path = _beside(path, "lock")
        self._descriptor = -1

    def __enter__(self) -> None:
        import fcntl

        self._descriptor = os.open(self._path, _LOCK, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _replace(path: str, text: str) -> None:
    """Writes ``text`` durably in the place of the file; the caller holds the lock."""
    content = text.encode()
    if len(content) > MAX_SIZE:
        raise _too_large(path, len(content))
    atomic_file.replace(path, content)


def _beside(path: str, suffix: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{suffix}")


def _check_file(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationInvalid(f"cannot use {path}: it is not a regular file")
    if status.st_uid != os.geteuid():
        raise ConfigurationInvalid(
            f"cannot use {path}: it belongs to UID {status.st_uid}, not to UID {os.geteuid()}",
            hint="it holds tokens, so it must be your own file",
        )
    if status.st_mode & 0o077:
        raise ConfigurationInvalid(
            f"cannot use {path}: its mode is {stat.S_IMODE(status.st_mode):04o}, "
            "so others may read the tokens in it",
            hint=_how_to_close(path),
        )
    if status.st_size > MAX_SIZE:
        raise _too_large(path, status.st_size)


def _how_to_close(path: str) -> str:
    """The advice for a file that others may read: its mode may be right, and its name wrong."""
    with open(path, "rb") as file:
        if b"profiles" not in file.read(MAX_SIZE):
            return "it holds no profiles; name another file with JOBCTL_CONFIG"
    return f"{_command('chmod', '600', path)}; if others may have read it, have new tokens made"


def _check_directory(path: str) -> None:
    directory = os.path.dirname(path)
    status = os.stat(directory)
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationInvalid(
            f"cannot use {directory}: it belongs to UID {status.st_uid}, "
            "who could replace the tokens in it",
            hint=_ELSEWHERE,
        )
    if status.st_mode & 0o022:
        ours = status.st_uid == os.geteuid() and _is_alone(path, status)
        raise ConfigurationInvalid(
            f"cannot use {directory}: its mode is {stat.S_IMODE(status.st_mode):04o}, "
            "so others may replace the tokens in it",
            hint=_command("chmod", "go-w", directory) if ours else _ELSEWHERE,
        )


def _is_alone(path: str, directory: os.stat_result) -> bool:
    """Whether its directory is for the file alone, so that a change of mode hurts nobody.

    One with the sticky bit, such as ``/tmp``, is for everybody, even if it is empty.
    """
    if directory.st_mode & stat.S_ISVTX:
        return False
    ours = {os.path.basename(name) for name in (path, _beside(path, "lock"))}
    try:
        return ours >= set(os.listdir(os.path.dirname(path)))
    except OSError:
        return False


def _command(*words: str) -> str:
    import shlex  # only a mistake pays for it

    return shlex.join(words)


def _too_large(path: str, size: int) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"cannot use {path}: {size} bytes are more than the {MAX_SIZE} that it may have",
        hint="remove profiles that are not used any more, or what is not a profile",
    )


def _unusable(path: str, error: OSError) -> ConfigurationInvalid:
    if error.errno == errno.ELOOP:
        return ConfigurationInvalid(
            f"cannot use {path}: it is a symbolic link",
            hint="set JOBCTL_CONFIG to the file that it points to",
        )
    where = f" ({error.filename})" if error.filename not in (None, path) else ""
    return ConfigurationInvalid(f"cannot use {path}: {error.strerror}{where}")
