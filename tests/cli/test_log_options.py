"""How much is logged: the option, else ``LOG_LEVEL``, else ``info``."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from router.cli.options import LogOptions, logging_options


@click.command()
@logging_options
def shown(logs: LogOptions) -> None:
    click.echo(" ".join(logs.as_arguments()))


@pytest.mark.parametrize(
    ("arguments", "environ", "level"),
    [
        ([], {}, "info"),
        ([], {"LOG_LEVEL": "WARNING"}, "warning"),
        (["--log-level", "debug"], {"LOG_LEVEL": "warning"}, "debug"),
        ([], {"LOG_LEVEL": ""}, "info"),
    ],
)
def test_the_option_wins_over_the_environment(arguments: list[str], environ: dict[str, str], level: str) -> None:
    result = CliRunner(env={"LOG_LEVEL": None}).invoke(shown, arguments, env=environ)
    assert result.output == f"--log-level={level} --log-format=auto\n"


def test_a_level_that_there_is_not_is_named() -> None:
    result = CliRunner().invoke(shown, env={"LOG_LEVEL": "loud"})
    assert result.exit_code == 2
    assert "'loud' is not one of 'debug', 'info', 'warning', 'error'" in result.output
