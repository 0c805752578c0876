"""The version, as the commands and the API show it. The module imports nothing."""

from __future__ import annotations

VERSION = "0.1.0"
