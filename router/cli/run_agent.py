"""``trident run``: starts a coding agent, or any program, against a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from router.cli.coding_agents import CODING_AGENTS, CodingAgent, Gateway, launch_any
from router.cli.gateway_listener import Inspection, Place, inspect, place_at, place_of
from router.cli.instances import InstanceDirectory
from router.cli.observing import instance_option, running_instance
from router.cli.options import default_state_dir, state_dir_option
from router.config.client_environment import API_KEY_VARIABLE, process_environment, without_proxy
from router.config.key_variables import KEY_VARIABLES
from router.errors import OperatorError

# What Plano calls them in `planoai launch`.
_PLANO_NAMES = {"claude-cli": "claude"}
_PLANO_SMALL_MODEL = "ANTHROPIC_SMALL_FAST_MODEL"


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be started: a known agent, or any program on the PATH."""

    name: str
    path: str
    agent: CodingAgent | None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name if self.agent is None else self.agent.title

    @property
    def candidates(self) -> tuple[str, ...]:
        """What it asks for by itself, then the same with the provider, for where the name alone says too little."""
        if self.agent is None or self.agent.usual_model is None:
            return ()
        return self.agent.usual_model, f"{self.agent.home}/{self.agent.usual_model}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says about the model, and about credentials."""

    model: str | None
    own_key: bool


def _complete_agent(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=agent.title) for name, agent in CODING_AGENTS.items() if name.startswith(incomplete)
    ]


def _complete_listener(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    directory = InstanceDirectory(ctx.params.get("state_dir") or default_state_dir())
    names = {name: instance.config for instance in directory.running() for name in instance.listeners}
    return [CompletionItem(name, help=config) for name, config in names.items() if name.startswith(incomplete)]


def _complete_model(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{name}/") for name in KEY_VARIABLES if f"{name}/".startswith(incomplete)]


@click.command("run", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
@click.argument("agent", shell_complete=_complete_agent)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
@click.option("-m", "--model", shell_complete=_complete_model, help="The model to use; the agent's own choice if not.")
@click.option("--listener", shell_complete=_complete_listener, help="Which listener; the model listener if not.")
@click.option("--url", help="A gateway that runs elsewhere, as in http://gateway.example:12000.")
@click.option("--own-key", is_flag=True, help="Leave the agent its own credentials, for `passthrough_auth`.")
@instance_option
def run_command(agent: str, arguments: tuple[str, ...], model: str | None, own_key: bool, **where: Any) -> None:
    """Start the coding agent AGENT against the running gateway: claude, codex, opencode, aider or goose.

    Any other AGENT is a program that gets OPENAI_BASE_URL, ANTHROPIC_BASE_URL and the key, as SDKs read them. What
    follows AGENT is handed to it. Where the gateway wants an API key, it is taken from TRIDENT_API_KEY.

    \b
    Examples:
      trident run claude
      trident run claude -- --continue
      trident run --model ollama/qwen3-coder codex exec "Fix the tests"
      trident run --listener coding opencode
      trident run python my_agent.py
    """
    _start(_PLANO_NAMES.get(agent, agent), arguments, Wish(model, own_key), **where)


@click.command("cli-agent", hidden=True)
@click.argument("agent", type=click.Choice(["claude", "claude-cli", "codex"]))
@click.argument("config", type=click.Path(path_type=Path), metavar="[FILE]", required=False)
@click.option("--settings", default="{}", help="Settings of Claude Code, as JSON.")
@state_dir_option
def cli_agent_command(agent: str, config: Path | None, settings: str, state_dir: Path) -> None:
    """Plano's name of `trident run`, with its arguments."""
    name = _PLANO_NAMES.get(agent, agent)
    given = _settings(settings)
    small = given.pop(_PLANO_SMALL_MODEL, None)
    variables = {} if small is None else {_PLANO_SMALL_MODEL: str(small), "ANTHROPIC_DEFAULT_HAIKU_MODEL": str(small)}
    arguments = (f"--settings={json.dumps(given)}",) if given and name == "claude" else ()
    _start(name, arguments, Wish(None, own_key=False), variables, config=config, state_dir=state_dir)


def _start(
    name: str,
    arguments: tuple[str, ...],
    wish: Wish,
    extra: Mapping[str, str] | None = None,
    **where: Any,
) -> None:
    environ = {**process_environment(), **(extra or {})}
    program = _find(name, environ)
    place = _place(**where)
    key = None if wish.own_key else environ.get(API_KEY_VARIABLE, "").strip() or None
    inspection = asyncio.run(inspect(place, key, program.candidates if wish.model is None else (wish.model,)))
    model = _model(program, place, inspection, wish.model)
    _exec(program, arguments, replace(inspection.gateway, own_key=wish.own_key), model, environ)


def _find(name: str, environ: Mapping[str, str]) -> Program:
    path = shutil.which(name, path=environ.get("PATH"))
    agent = CODING_AGENTS.get(name)
    if path is not None:
        return Program(name, path, agent)
    if agent is not None:
        raise OperatorError(f"{agent.title} is not installed: there is no `{name}` on the PATH.", fix=agent.install)
    raise OperatorError(
        f"There is no program `{name}` on the PATH.", fix=f"Known coding agents: {', '.join(CODING_AGENTS)}."
    )


def _place(*, config: Path | None, state_dir: Path, listener: str | None = None, url: str | None = None) -> Place:
    if url is None:
        return place_of(running_instance(config, state_dir), listener)
    if listener is not None or config is not None:
        raise click.UsageError("--url says where the gateway is: leave out --listener and --config.")
    return place_at(url)


def _model(program: Program, place: Place, inspection: Inspection, wanted: str | None) -> str | None:
    """The model that the program is told to use; ``None`` where it chooses by itself."""
    if wanted is not None:
        if inspection.known is None:
            raise OperatorError(f"The listener {place.name} has no model {wanted}.", fix=_what_it_has(inspection))
        return wanted
    usual = program.candidates
    if not usual:
        return None if program.agent is None else _told(program, _first(program, place, inspection))
    if inspection.known is None:
        raise OperatorError(
            f"The listener {place.name} does not have the models that {program.title} asks for, such as {usual[0]}.",
            fix=f"Say which to use, with `trident run --model MODEL {program.name}`. {_what_it_has(inspection)}",
        )
    return None if inspection.known == usual[0] else _told(program, inspection.known)


def _first(program: Program, place: Place, inspection: Inspection) -> str:
    if inspection.gateway.models:
        return inspection.gateway.models[0]
    raise OperatorError(
        f"{program.title} has to be told which model to use, and the listener {place.name} lists none.",
        fix=f"Say which, as in `trident run --model openai/gpt-4o {program.name}`.",
    )


def _what_it_has(inspection: Inspection) -> str:
    if inspection.gateway.models:
        return f"It lists: {', '.join(inspection.gateway.models)}."
    return "It lists none by name: write the provider in front, as in openai/gpt-4o."


def _told(program: Program, model: str) -> str:
    click.echo(f"{program.title} uses {model}; choose another with --model.", err=True)
    return model


def _exec(
    program: Program, arguments: tuple[str, ...], gateway: Gateway, model: str | None, environ: Mapping[str, str]
) -> None:
    """Become the program. Returns only by raising."""
    launch = (program.agent.launch if program.agent is not None else launch_any)(gateway, model, environ)
    variables = {name: value for name, value in environ.items() if name not in launch.removed}
    variables |= launch.variables
    variables |= without_proxy(variables, urlsplit(gateway.base_url).hostname or "")
    own = arguments[1:] if arguments[:1] == ("--",) else arguments
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program.path, [program.name, *launch.arguments, *own], variables)  # noqa: S606
    except OSError as exc:
        raise OperatorError(f"{program.path} cannot be started: {exc.strerror}.", fix="Is it a program?") from exc


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise click.BadParameter("It is not JSON.", param_hint="--settings") from exc
    if not isinstance(found, dict):
        raise click.BadParameter("It is not a JSON object.", param_hint="--settings")
    return found
