"""docs/from_plano.md names commands and options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from router.cli.main import COMMANDS, cli
from router.cli.trace import trace_command

PAGE = (Path(__file__).parents[2] / "docs" / "from_plano.md").read_text()
SHOWN = sorted(set(re.findall(r"`(trident [^`]+)`", PAGE)))


def command_of(words: list[str]) -> click.Command:
    """The command that a line starts, sub-commands included."""
    with click.Context(cli) as ctx:
        command = cli.get_command(ctx, words[0])
    assert command is not None, words[0]
    if command is trace_command:
        return trace_command.commands["listen" if words[1:2] == ["listen"] else "show"]
    if isinstance(command, click.Group) and len(words) > 1:
        return command.commands[words[1]]
    return command


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_of_the_page_is_one(line: str) -> None:
    words = line.split()[1:]
    assert words[0] in COMMANDS
    known = {option for parameter in command_of(words).params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_options_that_are_said_to_be_the_same_are() -> None:
    known = {option for parameter in command_of(["trace"]).params for option in parameter.opts}
    assert {"--list", "--where", "--since", "--limit", "--json", "--verbose"} <= known
    listen = {option for parameter in command_of(["trace", "listen"]).params for option in parameter.opts}
    assert {"--port", "--host", "--http-port"} <= listen
    up = {option for parameter in command_of(["up"]).params for option in parameter.opts}
    assert {"--listener-port", "--foreground", "--with-tracing"} <= up
    assert "--list-templates" in {option for parameter in command_of(["init"]).params for option in parameter.opts}


def test_the_page_is_checked_at_all() -> None:
    assert len(SHOWN) > 20
