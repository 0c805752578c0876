"""Profiles: which server to talk to, which CA to trust, which token to show.

They stand in one file, ``JOBCTL_CONFIG`` or ``$XDG_CONFIG_HOME/jobctl/config.json``.
"""

from __future__ import annotations

import os

from jobworker.client import config_file, config_text
from jobworker.errors import ConfigurationInvalid, ProfileNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker.client.config_text import Config


_BY_SOCKET = "unix:"
"""The beginning of a ``JOBCTL_SERVER`` that names a socket."""

_LEGACY = ".toml"
"""The extension of the file's name in versions that wrote TOML."""


class Profile:
    """One account on one server.

    ``server`` is ``https://HOST:PORT``; ``ca`` the absolute path of the only CA
    certificate that is trusted for it; ``token`` the bearer token, a secret. ``socket`` is
    the absolute path of the server's own socket, where it is one of this machine and account:
    for when the address fails, or with ``by_socket`` in its place.
    """

    __slots__ = ("by_socket", "ca", "name", "server", "socket", "token")

    def __init__(
        self,
        name: str,
        *,
        server: str,
        ca: str,
        token: str,
        socket: str | None = None,
        by_socket: bool = False,
    ) -> None:
        self.name = name
        self.server = server
        self.ca = ca
        self.token = token
        self.socket = socket
        self.by_socket = by_socket

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, server={self.server!r}, ca={self.ca!r})"


def config_path() -> str:
    """The absolute path of the configuration file, which may not exist."""
    named = os.environ.get("JOBCTL_CONFIG")
    if named:
        root, extension = os.path.splitext(os.path.abspath(named))
        # Named when it was TOML: the JSON file that it is moved to is meant.
        return root + (".json" if extension == _LEGACY else extension)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative one is ignored
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "jobctl", "config.json")


def load(name: str | None = None) -> Profile:
    """The profile called ``name``, else ``JOBCTL_USER``, else the default one.

    ``JOBCTL_SERVER`` goes before the profile's address; the CA stays the profile's, so
    the token is shown to no other server. ``unix:PATH`` in it names the socket to go by.
    Raises ``ProfileNotFound`` and ``ConfigurationInvalid``.
    """
    path = config_path()
    config = _parse(path, _read(path))
    chosen = name or os.environ.get("JOBCTL_USER") or config["defaultProfile"]
    if chosen is None:
        raise ProfileNotFound(
            f"no profile was named and {path} has no default one",
            hint=_known(config) + "; name one with -u NAME or JOBCTL_USER",
        )
    if chosen not in config["profiles"]:
        raise ProfileNotFound(f"there is no profile {chosen!r} in {path}", hint=_known(config))
    fields = config["profiles"][chosen]
    profile = Profile(
        chosen,
        server=fields["server"],
        ca=fields["ca"],
        token=fields["token"],
        socket=fields.get("socket"),
    )
    _redirect(profile, os.environ.get("JOBCTL_SERVER"))
    _check(profile)
    return profile


def known() -> list[tuple[str, str]]:
    """The name and the server of each stored profile; raises ``ConfigurationInvalid``."""
    path = config_path()
    config = _parse(path, _read(path))
    return [(name, fields["server"]) for name, fields in config["profiles"].items()]


def store(profile: Profile, *, make_default: bool = False) -> None:
    """Keeps ``profile``, in the place of one of the same name.

    Where the file has no default one, as at first, it becomes that in any case. All else
    that the file holds is kept. Raises ``ConfigurationInvalid``.
    """
    _check(profile)

    def change(config: Config) -> None:
        replaced = config["profiles"].get(profile.name, {})
        # What a newer client keeps with a profile is meant for the server of its CA alone.
        others = replaced if replaced.get("ca") == profile.ca else {}
        fields = {field: getattr(profile, field) for field in config_text.FIELDS}
        if profile.socket:
            fields["socket"] = profile.socket
        config["profiles"][profile.name] = others | fields
        if make_default or config["defaultProfile"] not in config["profiles"]:
            config["defaultProfile"] = profile.name

    _update(change)


def remove(name: str) -> bool:
    """Forgets the profile ``name``, and says whether there was one.

    Where it was the default one, there is no default one after it. Raises
    ``ConfigurationInvalid``.
    """
    if _read(config_path()) is None:
        return False
    known = False

    def change(config: Config) -> None:
        nonlocal known
        known = config["profiles"].pop(name, None) is not None
        if config["defaultProfile"] == name:
            config["defaultProfile"] = None

    _update(change)
    return known


def _redirect(profile: Profile, server: str | None) -> None:
    """Goes where ``JOBCTL_SERVER`` says, and nowhere else: no detour was asked for."""
    if server and server.startswith(_BY_SOCKET):
        profile.socket, profile.by_socket = server.removeprefix(_BY_SOCKET), True
    elif server:
        profile.server, profile.socket = server, None


def _read(path: str) -> str | None:
    legacy = _legacy_file(path)
    if legacy is None:
        return config_file.read(path)
    from jobworker.client import config_migration

    return config_migration.read(path, legacy)


def _update(change: Callable[[Config], None]) -> None:
    path = config_path()
    legacy = _legacy_file(path)
    if legacy is not None:
        from jobworker.client import config_migration

        config_migration.migrate(path, legacy)

    def rewrite(text: str | None) -> str:
        config = _parse(path, text)
        change(config)
        return config_text.render(config)

    config_file.update(path, rewrite)


def _legacy_file(path: str) -> str | None:
    """The TOML file of an earlier version that has to be moved to ``path``, if there is one."""
    root, extension = os.path.splitext(path)
    legacy = root + _LEGACY
    # It may be moved between the two looks: then there is none any more, and path is read.
    wanted = extension == ".json" and not os.path.lexists(path) and os.path.lexists(legacy)
    return legacy if wanted else None


def _parse(path: str, text: str | None) -> Config:
    if text is None:
        return {"defaultProfile": None, "profiles": {}}
    try:
        return config_text.parse(text)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(
            f"cannot read {path}: {error}",
            hint=_how_to_correct(path),
            field=error.field,
        ) from None


def _how_to_correct(path: str) -> str:
    if path.endswith(".json"):
        return config_text.CORRECT_IT
    renamed = path + _LEGACY
    return (
        f"{config_text.CORRECT_IT}; if it is TOML of an earlier version, "
        f"rename it to {renamed} and set JOBCTL_CONFIG to that"
    )


def _known(config: Config) -> str:
    names = ", ".join(config["profiles"])
    return f"known profiles: {names}" if names else "there are no profiles; jobd user add makes one"


def _check(profile: Profile) -> None:
    """Refuses what could never work, or would change the meaning of a request."""
    token = profile.token
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationInvalid(f"the token of profile {profile.name!r} is not a bearer token")
    if not os.path.isabs(profile.ca):
        raise ConfigurationInvalid(
            f"the ca of profile {profile.name!r} must be an absolute path, not {profile.ca!r}"
        )
    if profile.socket is not None and not os.path.isabs(profile.socket):
        raise ConfigurationInvalid(
            f"the socket of profile {profile.name!r} must be an absolute path, "
            f"not {profile.socket!r}"
        )
    if not profile.server.startswith("https://"):
        raise ConfigurationInvalid(
            f"the server of profile {profile.name!r} must be https://HOST:PORT, "
            f"not {profile.server!r}"
        )
    for text in (profile.name, profile.server, profile.ca, profile.socket or ""):
        if not text.isprintable():  # a lone surrogate is not, either
            raise ConfigurationInvalid(f"profile {profile.name!r} holds unprintable text: {text!r}")
