"""The ``trident`` command: finds the sub-command, and turns whatever goes wrong into a message and an exit status."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass

import click
from click.shell_completion import CompletionItem

from router import __version__
from router.errors import OperatorError

# sysexits.h EX_SOFTWARE: an error inside Trident, not in what it was asked to do.
EXIT_INTERNAL_ERROR = 70


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command lives, and its line in ``trident --help``: known without importing it."""

    module: str
    attribute: str
    summary: str
    hidden: bool = False


COMMANDS = {
    "init": CommandEntry("router.cli.init", "init_command", "Write a configuration to begin with."),
    "up": CommandEntry("router.cli.up", "up_command", "Start Triton and the gateway, and keep them running."),
    "down": CommandEntry("router.cli.down", "down_command", "Stop a running instance."),
    "reload": CommandEntry("router.cli.reload", "reload_command", "Have a running instance read its file again."),
    "run": CommandEntry("router.cli.run_agent", "run_command", "Start a coding agent against a running instance."),
    "serve": CommandEntry("router.cli.serve", "serve_command", "Serve one part of a deployment, for containers."),
    "check": CommandEntry("router.cli.check", "check_command", "Check a configuration file."),
    "models": CommandEntry("router.cli.models", "models_command", "Show the models on Triton, and change them."),
    "route": CommandEntry("router.cli.route", "route_command", "Show which agents a text would go to, and why."),
    "eval": CommandEntry("router.cli.eval", "eval_command", "Test the routing of a configuration with your own cases."),
    "trace": CommandEntry("router.cli.trace", "trace_command", "Show where the time of requests went."),
    "top": CommandEntry("router.cli.top", "top_command", "Show live what a running instance is doing."),
    "obs": CommandEntry("router.cli.top", "top_command", "Plano's name of `top`.", hidden=True),
    "logs": CommandEntry("router.cli.logs", "logs_command", "Show logs, and set how much is logged."),
    "keys": CommandEntry("router.cli.keys", "keys_command", "Make API keys."),
    "memory": CommandEntry("router.cli.memory", "memory_command", "List and forget what memory filters remember."),
    "completion": CommandEntry("router.cli.completion", "completion_command", "Print a shell completion script."),
    "cli-agent": CommandEntry("router.cli.run_agent", "cli_agent_command", "Plano's name of `run`.", hidden=True),
    "cli_agent": CommandEntry("router.cli.run_agent", "cli_agent_command", "Plano's name of `run`.", hidden=True),
    "launch": CommandEntry("router.cli.run_agent", "cli_agent_command", "Plano's name of `run`.", hidden=True),
    "build": CommandEntry("router.cli.plano", "build_command", "Plano's; says what to do instead.", hidden=True),
    "chatgpt": CommandEntry("router.cli.plano", "chatgpt_command", "Plano's; says what to do instead.", hidden=True),
    "generate-prompt-targets": CommandEntry(
        "router.cli.plano", "generate_prompt_targets_command", "Plano's; says what to do instead.", hidden=True
    ),
    "observer": CommandEntry(
        "router.cli.observer", "observer_command", "Gather telemetry for `trident up`.", hidden=True
    ),
    "worker": CommandEntry("router.cli.worker", "worker_command", "Serve listeners for `trident up`.", hidden=True),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it runs, and reports failures without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in COMMANDS.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"Did you mean `trident {close[0]}`?" if close else "`trident --help` lists the commands."
            ctx.fail(f"There is no command `{name}`. {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=COMMANDS[name].summary) for name in names] + options

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OperatorError as error:
            print_operator_error(error)
            ctx.exit(error.exit_code)
        except Exception as error:  # the last boundary: nothing above could tell the operator
            report_crash(error, debug=bool(ctx.params.get("debug")))
            ctx.exit(EXIT_INTERNAL_ERROR)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="trident")
@click.option("--debug", is_flag=True, help="Print the traceback of an unexpected error.")
def cli(debug: bool) -> None:
    """Trident guards, routes and proxies the requests of agentic applications.

    Its models (orchestrator, guards) run in NVIDIA Triton, on this machine unless the configuration says otherwise.

    \b
    Examples:
      trident check config.yaml                  Is this file right?
      trident up config.yaml                     Start; Ctrl-C stops.
      trident route config.yaml "Rain in Oslo?"  Who would answer, and why?
      trident down                               Stop it from another terminal.
    """


def print_operator_error(error: OperatorError) -> None:
    """Say on standard error what is wrong and how to put it right."""
    click.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(error.message, err=True)
    if error.fix:
        click.secho("  Fix: ", bold=True, err=True, nl=False)
        click.echo(error.fix, err=True)


def report_crash(error: Exception, *, debug: bool) -> None:
    """Say that Trident itself failed, and where the traceback is."""
    click.echo(f"Unexpected error in trident {__version__}: {type(error).__name__}: {error}", err=True)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
        return
    descriptor, path = tempfile.mkstemp(prefix="trident-crash-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    click.echo(f"This is a bug. The traceback is in {path} (or see it with `trident --debug ...`).", err=True)


def main() -> None:
    """Entry point of the ``trident`` script and of ``python -m router``."""
    cli(prog_name="trident")
