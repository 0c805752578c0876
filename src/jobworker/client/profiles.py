"""Profiles: which server to talk to, which CA to trust, which token to show.

They stand in one file, ``JOBCTL_CONFIG`` or ``$XDG_CONFIG_HOME/jobctl/config.toml``.
"""

from __future__ import annotations

import os

from jobworker.client import config_file, config_text
from jobworker.errors import ConfigurationInvalid, ProfileNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker.client.config_text import Config


class Profile:
    """One account on one server.

    ``server`` is ``https://HOST:PORT``; ``ca`` the absolute path of the only CA
    certificate that is trusted for it; ``token`` the bearer token, a secret.
    """

    __slots__ = ("ca", "name", "server", "token")

    def __init__(self, name: str, *, server: str, ca: str, token: str) -> None:
        self.name = name
        self.server = server
        self.ca = ca
        self.token = token

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, server={self.server!r}, ca={self.ca!r})"


def config_path() -> str:
    """The absolute path of the configuration file, which may not exist."""
    named = os.environ.get("JOBCTL_CONFIG")
    if named:
        return os.path.abspath(named)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative one is ignored
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "jobctl", "config.toml")


def load(name: str | None = None) -> Profile:
    """The profile called ``name``, else ``JOBCTL_USER``, else the default one.

    ``JOBCTL_SERVER`` goes before the profile's address; the CA stays the profile's, so
    the token is shown to no other server. Raises ``ProfileNotFound`` and
    ``ConfigurationInvalid``.
    """
    path = config_path()
    config = _parse(path, config_file.read(path))
    chosen = name or os.environ.get("JOBCTL_USER") or config["default"]
    if chosen is None:
        raise ProfileNotFound(
            f"no profile was named and {path} has no default one",
            hint=_known(config) + "; name one with -u NAME or JOBCTL_USER",
        )
    if chosen not in config["profiles"]:
        raise ProfileNotFound(f"there is no profile {chosen!r} in {path}", hint=_known(config))
    profile = Profile(chosen, **config["profiles"][chosen])
    profile.server = os.environ.get("JOBCTL_SERVER") or profile.server
    _check(profile)
    return profile


def known() -> list[tuple[str, str]]:
    """The name and the server of each stored profile; raises ``ConfigurationInvalid``."""
    path = config_path()
    config = _parse(path, config_file.read(path))
    return [(name, fields["server"]) for name, fields in config["profiles"].items()]


def store(profile: Profile, *, make_default: bool = False) -> None:
    """Keep ``profile``, in the place of one of the same name.

    The first profile that is stored becomes the default one in any case. Comments that
    somebody wrote into the file are lost. Raises ``ConfigurationInvalid``.
    """
    _check(profile)

    def change(config: Config) -> None:
        first = not config["profiles"]
        fields = {field: getattr(profile, field) for field in config_text.FIELDS}
        config["profiles"][profile.name] = fields
        if make_default or first:
            config["default"] = profile.name

    _update(change)


def remove(name: str) -> bool:
    """Forget the profile ``name``, and say whether there was one.

    Where it was the default one, there is no default one after it. Raises
    ``ConfigurationInvalid``.
    """
    if config_file.read(config_path()) is None:
        return False
    known = False

    def change(config: Config) -> None:
        nonlocal known
        known = config["profiles"].pop(name, None) is not None
        if config["default"] == name:
            config["default"] = None

    _update(change)
    return known


def _update(change: Callable[[Config], None]) -> None:
    path = config_path()

    def rewrite(text: str | None) -> str:
        config = _parse(path, text)
        change(config)
        return config_text.render(config)

    config_file.update(path, rewrite)


def _parse(path: str, text: str | None) -> Config:
    if text is None:
        return {"default": None, "profiles": {}}
    try:
        return config_text.parse(text)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"cannot read {path}: {error}", field=error.field) from None


def _known(config: Config) -> str:
    names = ", ".join(config["profiles"])
    return f"known profiles: {names}" if names else "there are no profiles; jobd user add makes one"


def _check(profile: Profile) -> None:
    """Refuse what could never work, or would change the meaning of a request."""
    token = profile.token
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationInvalid(f"the token of profile {profile.name!r} is not a bearer token")
    if not os.path.isabs(profile.ca):
        raise ConfigurationInvalid(
            f"the ca of profile {profile.name!r} must be an absolute path, not {profile.ca!r}"
        )
    if not profile.server.startswith("https://"):
        raise ConfigurationInvalid(
            f"the server of profile {profile.name!r} must be https://HOST:PORT, "
            f"not {profile.server!r}"
        )
    for text in (profile.name, profile.server, profile.ca):
        if not text.isprintable():  # a surrogate is not: TOML could not hold it
            raise ConfigurationInvalid(f"profile {profile.name!r} holds unprintable text: {text!r}")
