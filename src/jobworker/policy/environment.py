"""Variables that decide what a program runs: a rule for a program means that program. Pure.

As an account of the machine a program gets, of what was asked for, only what the rule lists
and what is harmless. Else it gets all but what loaders, shells, interpreters and common
tools obey. That list cannot be complete, as a program may read any variable; it closes the
doors that are well known:

* ld.so(8), and the variables that glibc itself drops for setuid programs
  (``sysdeps/generic/unsecvars.h``);
* what sudo removes by default (``initial_badenv_table`` of its ``env.c``);
* bash(1) BASH_ENV, ENV, exported functions; zsh(1) ZDOTDIR, FPATH; python(1), perlrun(1),
  ruby(1), node(1), and the launcher of Java (JDK_JAVA_OPTIONS, JAVA_TOOL_OPTIONS);
* what names a program to run or a file of commands to read: PAGER, EDITOR, LESSOPEN of
  less(1), RSYNC_RSH of rsync(1), GIT_SSH and more of git(1), TAR_OPTIONS of tar(1),
  OPENSSL_CONF of openssl(1), HOME and XDG_* for files of settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobworker.policy.patterns import matches_any

OBEYED = (
    # The C library and its loader
    "LD_*", "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "MALLOC_*",
    "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_HOST_CONF", "NIS_PATH", "TZDIR",
    "_RLD*", "DYLD_*", "PATH_LOCALE",
    # Where programs, terminals' descriptions and settings are looked for
    "PATH", "HOME", "SHELL", "XDG_*", "TERMINFO", "TERMINFO_DIRS", "TERMPATH", "TERMCAP",
    # Shells
    "BASH_*", "BASHOPTS", "SHELLOPTS", "ENV", "IFS", "CDPATH", "GLOBIGNORE", "PS4", "PS1",
    "PROMPT_COMMAND", "FPATH", "ZDOTDIR", "NULLCMD", "READNULLCMD", "TMPPREFIX", "POSIXLY_CORRECT",
    # Interpreters
    "PYTHON*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "NODE_*", "NPM_*", "JAVA*", "_JAVA_*",
    "JDK_*", "CLASSPATH", "LUA_*", "PHP*", "PHP_INI_SCAN_DIR", "R_*", "JULIA_*", "ERL_*",
    "AWKPATH", "AWKLIBPATH", "TCL*", "GUILE_*", "DOTNET_*", "CORECLR_*", "COR_*", "MONO_*",
    "VIRTUAL_ENV", "VIMINIT", "EXINIT", "VIM", "VIMRUNTIME", "MYVIMRC", "EMACSLOADPATH",
    # What names another program to run, or options
    "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESS", "LESSOPEN", "LESSCLOSE", "LESSKEY*",
    "RSYNC_*", "GIT_*", "SSH_*", "SUDO_*", "TAR_OPTIONS", "TAPE", "RSH", "GZIP", "XZ_*", "ZSTD_*",
    "MAKEFLAGS", "MAKEFILES", "CC", "CXX", "CFLAGS", "GREP_OPTIONS", "MORE", "CURL_HOME", "WGETRC",
    # Plug-ins
    "OPENSSL_*", "SSL_*", "QT_*", "GTK_*", "GDK_*", "GIO_*", "GST_*", "LIBGL_*", "KRB5_*",
    "SASL_*", "ODBC*", "PGSYSCONFDIR", "PGSERVICEFILE", "MAGICK_*",
)  # fmt: skip
"""Patterns of names; see above for where they come from."""

_FUNCTION = "() {"
"""The mark of an exported function in an old bash, under any variable's name (CVE-2014-6271)."""


HARMLESS = (
    "LANG", "LANGUAGE", "LC_*", "TZ", "TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES",
)  # fmt: skip
"""Patterns of names that say how to write and not what to run, with a value that is plain.

Those that sudo lets through where their values are (``initial_checkenv_table`` of its ``env.c``).
"""


def refused_variable(
    env: Mapping[str, str], listed: Sequence[str], *, with_account: bool
) -> str | None:
    """The first variable that may not be set, and that no pattern lists.

    ``with_account`` if the program runs as an account of the machine, which its user is not.
    """
    refuses = _may_do_harm if with_account else _is_obeyed
    for name, value in env.items():
        if refuses(name, value) and not matches_any(listed, name):
            return name
    return None


def is_harmless(name: str) -> bool:
    """Whether a variable of that name does no harm with a plain value."""
    return matches_any(HARMLESS, name)


def _may_do_harm(name: str, value: str) -> bool:
    return not (is_harmless(name) and _is_plain(name, value))


def _is_obeyed(name: str, value: str) -> bool:
    if matches_any(OBEYED, name) or value.startswith(_FUNCTION) or "(" in name:
        return True
    return is_harmless(name) and not _is_plain(name, value)


def _is_plain(name: str, value: str) -> bool:
    """Whether a value names no file of the user's own, and no format (as in sudo's ``env.c``).

    A locale or a terminal with a slash in it is a path to messages that are used as formats,
    or to capabilities; a time zone may be a path from the root, but has slashes in its name.
    """
    if not value.isprintable():
        return False
    if name == "TZ":
        return not value.removeprefix(":").startswith("/") and ".." not in value
    return "/" not in value and "%" not in value
