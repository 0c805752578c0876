"""Variables that decide what a program runs: a rule for a program means that program. Pure.

The list holds what loaders, shells, interpreters and common tools obey. It cannot be
complete, as a program may read any variable; it closes the doors that are well known:

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


def refused_variable(env: Mapping[str, str], listed: Sequence[str]) -> str | None:
    """The first variable that may not be set, as programs obey it and no pattern lists it."""
    for name, value in env.items():
        obeyed = matches_any(OBEYED, name) or value.startswith(_FUNCTION) or "(" in name
        if obeyed and not matches_any(listed, name):
            return name
    return None
