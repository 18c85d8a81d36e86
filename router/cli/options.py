"""Arguments and options that several commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from router.config.log_level import LEVELS, VARIABLE
from router.telemetry.access_log import AccessLog, JsonAccess, LoggedAccess
from router.telemetry.logs import LogFormat, configure_logging, is_pretty

Command = TypeVar("Command", bound=Callable[..., Any])


def config_argument(command: Command) -> Command:
    """``[FILE]``: the configuration, ``config.yaml`` of the working directory when left out."""
    argument = click.argument("file", type=click.Path(path_type=Path), default=Path("config.yaml"), required=False)
    return argument(command)


def state_dir_option(command: Command) -> Command:
    """``--state-dir``: where running instances are noted down and Triton keeps its logs."""
    option = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
        default=default_state_dir,
        show_default="~/.local/state/trident",
        help="Where running instances and their logs are kept.",
    )
    return option(command)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What ``--log-level`` and ``--log-format`` say."""

    level: str
    form: LogFormat

    def apply(self, **fields: object) -> None:
        """Configure the logging of this process, to standard error; ``fields`` are on every line."""
        configure_logging(sys.stderr, level=self.level, log_format=self.form, fields=fields)

    def access_log(self, **fields: object) -> AccessLog:
        """Where access lines go: the fast way where they are wanted and JSON, else through logging."""
        if self.level in {"debug", "info"} and not is_pretty(sys.stderr, self.form):
            return JsonAccess(sys.stderr, fields)
        return LoggedAccess()

    def as_arguments(self) -> tuple[str, str]:
        """The same options for another command."""
        return f"--log-level={self.level}", f"--log-format={self.form}"


def logging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--log-level`` and ``--log-format``, handed to the command as one argument ``logs``."""

    @functools.wraps(command)
    def with_logs(*, log_level: str, log_format: LogFormat, **others: Any) -> Any:
        return command(logs=LogOptions(log_level, log_format), **others)

    level = click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        show_default=True,
        envvar=VARIABLE,
        show_envvar=True,
        help="How much is logged (to standard error). SIGHUP reads it again, from `.env` beside the configuration.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(["auto", "json", "pretty"]),
        default="auto",
        show_default=True,
        help="auto: pretty on a terminal, JSON lines elsewhere.",
    )
    return level(form(with_logs))


def default_state_dir() -> Path:
    """The state folder of this user."""
    return Path.home() / ".local" / "state" / "trident"
