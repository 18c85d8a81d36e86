"""``LOG_LEVEL``: how much is logged, from the environment, and again from ``.env`` while the gateway runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from router.config.environment import read_environment

VARIABLE = "LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error")


def reread_log_level(config: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """The level that ``.env`` beside ``config`` says now, else the environment's; ``None`` where neither says one.

    Unlike for other variables the file comes first: the environment of a process that runs cannot be changed.
    """
    try:
        said = dotenv_values(config.parent / ".env").get(VARIABLE)
    except (OSError, UnicodeDecodeError):
        said = None
    level = (said or read_environment(config, environ).variables.get(VARIABLE) or "").strip().lower()
    return level if level in LEVELS else None
