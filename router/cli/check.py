"""``trident check``: says what is wrong with a configuration file, and what the file starts when nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from router.cli.options import config_argument
from router.config import Config, ConfigErrors, Listener, LoadedConfig, Problem, load_config
from router.config.activity import is_partly_active
from router.config.reference import render_reference

_STYLES = {"error": "bold red", "warning": "bold yellow"}


@click.command("check")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@click.option("--reference", is_flag=True, help="Print the reference of all keys (Markdown), and check nothing.")
@click.pass_context
def check_command(ctx: click.Context, file: Path, as_json: bool, reference: bool) -> None:
    """Check the configuration FILE (config.yaml when left out) without starting anything.

    Every problem is reported at once, as file:line:column, with a suggestion. Exit status: 0 when the file can be used
    (warnings are allowed), 1 when it has errors, 2 for wrong usage.

    \b
    Examples:
      trident check                      Checks config.yaml of the working directory.
      trident check config.yaml --json   For editors and CI.
    """
    if reference:
        click.echo(render_reference(), nl=False)
        return
    if not file.is_file():
        raise click.BadParameter(f"there is no file {file}.", ctx=ctx, param_hint="FILE")
    try:
        loaded = load_config(file)
    except ConfigErrors as error:
        _report_errors(error, as_json=as_json)
        ctx.exit(error.exit_code)
    _report_success(loaded, as_json=as_json)


def print_problems(problems: Iterable[Problem], file: Path, console: Console) -> None:
    """Print findings like a compiler, each with its suggestion in the next line; coloured on a terminal."""
    for problem in problems:
        place, severity, message = problem.format(file).partition(f" {problem.severity}: ")
        line = Text(place, style="bold").append(severity, style=_STYLES[problem.severity]).append(message, "not bold")
        console.print(line, soft_wrap=True, highlight=False)
        if problem.suggestion:
            console.print(Text(f"    {problem.suggestion}", style="dim"), soft_wrap=True, highlight=False)


def summarize(loaded: LoadedConfig) -> str:
    """One paragraph about what a configuration starts."""
    config = loaded.config
    active = [listener for listener in config.listeners if is_partly_active(f"listeners[{listener.type}]")]
    listeners = "; ".join(_listener(listener) for listener in active) or "nothing that listens"
    models = f"Triton at {config.triton.url}" if config.triton.url else "a Triton started on this machine"
    return f"Starts {listeners}. {_providers(config)} {_guards(config)} The gateway's own models run in {models}."


def _report_errors(error: ConfigErrors, *, as_json: bool) -> None:
    if as_json:
        _print_json({"file": str(error.path), "ok": False, "problems": [asdict(item) for item in error.problems]})
        return
    console = Console()
    print_problems(error.problems, error.path, console)
    counts = [_count(severity, error.problems) for severity in ("error", "warning")]
    console.print(f"{error.path}: {', '.join(count for count in counts if count)}", soft_wrap=True, highlight=False)


def _report_success(loaded: LoadedConfig, *, as_json: bool) -> None:
    if as_json:
        findings = [asdict(problem) for problem in loaded.warnings]
        report = {"file": str(loaded.path), "ok": True, "problems": findings}
        _print_json({**report, "inactive_keys": list(loaded.inactive_keys), "summary": summarize(loaded)})
        return
    console = Console()
    print_problems(loaded.warnings, loaded.path, console)
    if loaded.inactive_notice:
        notice = Problem("warning", "", loaded.inactive_notice)
        print_problems([notice], loaded.path, console)
    verdict = Text(f"{loaded.path}: ok. ", style="bold green").append(summarize(loaded), "not bold default")
    console.print(verdict, soft_wrap=not console.is_terminal, highlight=False)


def _print_json(report: dict[str, object]) -> None:
    click.echo(json.dumps(report, indent=2, ensure_ascii=False))


def _count(severity: str, problems: Iterable[Problem]) -> str:
    number = sum(problem.severity == severity for problem in problems)
    return f"{number} {severity}{'' if number == 1 else 's'}" if number else ""


def _listener(listener: Listener) -> str:
    text = f"the {listener.type} listener {listener.name} on {listener.address}:{listener.port}"
    if not listener.agents:
        return text
    fallback = next((agent.id for agent in listener.agents if agent.default), listener.agents[0].id)
    agents = ", ".join(f"{agent.id} (default)" if agent.id == fallback else agent.id for agent in listener.agents)
    return f"{text} with {_plural(len(listener.agents), 'agent')}: {agents}"


def _providers(config: Config) -> str:
    if not config.model_providers:
        return "There are no model providers."
    absent = [provider.name for provider in config.model_providers if not provider.available]
    state = f"; unavailable for want of a key: {', '.join(absent)}" if absent else ""
    return f"It knows {_plural(len(config.model_providers), 'model provider')}{state}."


def _guards(config: Config) -> str:
    jailbreak = config.prompt_guards.input_guards.jailbreak
    short_form = [] if jailbreak is None else [f"jailbreak ({jailbreak.on_error} when it cannot be asked)"]
    named = [f"{each.name} ({each.on_error})" for each in config.guardrails]
    guards = [*short_form, *named]
    if not guards:
        return "No guard is on."
    return f"{'Guards' if len(guards) > 1 else 'The guard'}: {', '.join(guards)}."


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
