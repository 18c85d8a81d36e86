from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from router import __version__
from router.cli import main
from router.errors import OperatorError

HEAVY = ("aiohttp", "grpc", "pydantic", "rich", "asyncio", "uvloop")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom router.cli.main import cli\ncli(sys.argv[1:], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    run = subprocess.run([sys.executable, "-m", "router", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"trident, version {__version__}\n"


def test_help_lists_every_command_with_its_summary() -> None:
    text = CliRunner().invoke(main.cli, ["--help"], terminal_width=100).output
    with click.Context(main.cli) as ctx:
        for name in main.cli.list_commands(ctx):
            command = main.cli.get_command(ctx, name)
            assert command is not None
            assert command.name == name
            assert f"  {name}" in text
            assert main.COMMANDS[name].summary in text


@pytest.mark.parametrize("name", [name for name, entry in main.COMMANDS.items() if not entry.hidden])
def test_every_command_has_a_help_page_with_examples(name: str) -> None:
    result = CliRunner().invoke(main.cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: cli {name}" in result.output


def test_the_worker_command_is_not_listed() -> None:
    assert "worker" not in CliRunner().invoke(main.cli, ["--help"]).output.split()


def test_a_mistyped_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(main.cli, ["rout", "x"])
    assert result.exit_code == 2
    assert "There is no command `rout`. Did you mean `trident route`?" in result.output


def test_an_unknown_command_points_to_the_list() -> None:
    result = CliRunner().invoke(main.cli, ["frobnicate"])
    assert result.exit_code == 2
    assert "`trident --help` lists the commands" in result.output


def failing_group(error: Exception) -> main.LazyGroup:
    class Group(main.LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return click.Command("up", callback=fail)

    def fail() -> None:
        raise error

    return Group("trident", params=[click.Option(["--debug"], is_flag=True)])


def test_an_operator_error_is_a_message_and_a_fix() -> None:
    result = CliRunner().invoke(failing_group(OperatorError("The port is taken.", fix="Take another.")), ["up"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: The port is taken.\n  Fix: Take another.\n"


def test_the_exit_status_of_an_operator_error_is_its_own() -> None:
    class Refused(OperatorError):
        exit_code = 3

    assert CliRunner().invoke(failing_group(Refused("no")), ["up"]).exit_code == 3


def test_an_unexpected_error_names_the_file_with_its_traceback() -> None:
    result = CliRunner().invoke(failing_group(KeyError("x")), ["up"])
    assert result.exit_code == main.EXIT_INTERNAL_ERROR
    assert "Traceback" not in result.stderr
    assert "KeyError: 'x'" in result.stderr
    log = Path(result.stderr.partition("The traceback is in ")[2].split()[0])
    try:
        assert "Traceback (most recent call last)" in log.read_text()
    finally:
        log.unlink()


def test_debug_prints_the_traceback() -> None:
    result = CliRunner().invoke(failing_group(KeyError("x")), ["--debug", "up"])
    assert result.exit_code == main.EXIT_INTERNAL_ERROR
    assert "Traceback (most recent call last)" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = CliRunner().invoke(main.cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_TRIDENT_COMPLETE={shell}_complete" in result.output
    assert "trident" in result.output


def test_the_completion_script_completes_commands() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "router"],
        env={"_TRIDENT_COMPLETE": "bash_complete", "COMP_WORDS": "trident ", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,up" in run.stdout.splitlines()
    assert not [line for line in run.stdout.splitlines() if "worker" in line]
