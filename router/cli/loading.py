"""Reads the configuration for a command that needs it, and prints what is to be said about it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from router.cli.check import print_problems
from router.config import ConfigErrors, LoadedConfig, load_config


def load_or_exit(file: Path, console: Console) -> LoadedConfig:
    """The configuration; when it cannot be used, print every problem and exit as `trident check` does."""
    try:
        return load_config(file)
    except ConfigErrors as error:
        print_problems(error.problems, file, console)
        raise SystemExit(error.exit_code) from error


def print_warnings(loaded: LoadedConfig, console: Console) -> None:
    """Print the warnings, and in one more the keys that do nothing yet."""
    print_problems(loaded.warnings, loaded.path, console)
    if loaded.inactive_notice is not None:
        console.print(f"warning: {loaded.inactive_notice}", soft_wrap=True, highlight=False, markup=False)
