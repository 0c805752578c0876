"""The version, as the commands and the API show it. Nothing is imported."""

from __future__ import annotations

VERSION = "0.1.0"
