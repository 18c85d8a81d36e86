"""``trident route``: the decision for a text, with its scores. Calls no agent."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router.cli.loading import load_or_exit
from router.cli.options import state_dir_option
from router.cli.triton import live_routers
from router.config import LoadedConfig
from router.context import RouteDecision, Turn
from router.errors import OperatorError
from router.telemetry.logs import configure_logging

# Far more than a decision takes, on any machine: the orchestrator's own timeout is shorter.
DECIDE_WITHIN_S = 30.0

BAR_WIDTH = 20

# The orchestrator sees no other messages.
ROLES = ("user", "assistant")

REASONS = {
    "orchestrator": "the orchestrator found these agents needed",
    "no_match": "no agent fits: the default answers",
    "only_route": "the only agent of this listener",
    "degraded": "the orchestrator could not be asked: the default answers",
}


def parse_turns(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Turn, ...]:
    """Each ``role:text`` as a `Turn`."""
    turns = []
    for value in values:
        role, separator, content = value.partition(":")
        if not separator or role not in ROLES:
            raise click.BadParameter(f"{value!r} does not begin with `user:` or `assistant:`.")
        turns.append(Turn(role, content.strip()))
    return tuple(turns)


@dataclass(frozen=True, slots=True)
class Question:
    """What the user wants to know."""

    conversation: tuple[Turn, ...]
    listener: str | None
    triton_url: str | None


@click.command("route")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option(
    "--message",
    "messages",
    metavar="ROLE:TEXT",
    multiple=True,
    callback=parse_turns,
    help="An earlier message, as user:TEXT or assistant:TEXT; repeatable, in order.",
)
@click.option("--listener", help="Name of the listener, where FILE has several that route to agents.")
@click.option("--triton-url", help="gRPC address of the Triton to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@state_dir_option
def route_command(
    file: Path,
    text: str | None,
    messages: tuple[Turn, ...],
    listener: str | None,
    triton_url: str | None,
    as_json: bool,
    state_dir: Path,
) -> None:
    """Show which agents TEXT would go to, in which order, and why. Calls no agent.

    Asks the Triton of the running instance of FILE, else that of `triton.url`, else one that is started for the moment.

    \b
    Examples:
      trident route config.yaml "Find flights to Paris and check the weather there"
      trident route config.yaml "And tomorrow?" --message "user:Weather in Oslo?" --message "assistant:Rain."
      trident route config.yaml --json "Rain in Oslo?" | jq .routes
    """
    configure_logging(sys.stderr, level="warning")
    turns = (*messages, Turn("user", text)) if text is not None else messages
    if not turns or turns[-1].role != "user":
        raise click.UsageError("Nothing to route: give TEXT, or a last --message of the user.")
    err = Console(stderr=True)
    loaded = load_or_exit(file, err)
    question = Question(turns, listener, triton_url)
    name, decision = asyncio.run(decide(loaded, question, state_dir, err))
    if as_json:
        click.echo(json.dumps(as_fields(name, decision)))
    else:
        print_decision(Console(), name, decision)


async def decide(
    loaded: LoadedConfig, question: Question, state_dir: Path, console: Console
) -> tuple[str, RouteDecision]:
    """The listener that was asked, and its decision."""
    async with live_routers(loaded, question.triton_url, state_dir, console) as routers:
        name = choose_listener(tuple(routers), question.listener)
        return name, await routers[name].decide(question.conversation, timeout_s=DECIDE_WITHIN_S)


def choose_listener(names: tuple[str, ...], wanted: str | None) -> str:
    """The listener to ask; raises OperatorError when that is not clear."""
    if not names:
        raise OperatorError("No listener of this file routes to agents.", fix="Add a listener of type `agent`.")
    known = ", ".join(names)
    if wanted is None and len(names) > 1:
        raise OperatorError(f"Several listeners route to agents: {known}.", fix="Choose one with --listener NAME.")
    if wanted is not None and wanted not in names:
        raise OperatorError(f"No listener {wanted} routes to agents.", fix=f"These do: {known}.")
    return wanted or names[0]


def as_fields(listener: str, decision: RouteDecision) -> dict[str, object]:
    """The decision for machines."""
    return {
        "listener": listener,
        "routes": list(decision.routes),
        "stages": [list(stage) for stage in decision.stages],
        "reason": decision.reason,
        "scores": dict(decision.scores),
        "model": decision.model,
        "model_version": decision.model_version,
        "latency_ms": round(decision.latency_s * 1000, 3),
    }


def print_decision(console: Console, listener: str, decision: RouteDecision) -> None:
    """The decision for people: a table on a terminal, plain lines elsewhere."""
    ranks = {name: number for number, stage in enumerate(decision.stages, start=1) for name in stage}
    # Chosen ones in running order, then the others by score.
    names = [*decision.routes, *sorted(decision.scores.keys() - ranks.keys(), key=lambda name: -decision.scores[name])]
    asked = f"{decision.model} version {decision.model_version}" if decision.model else "no model was asked"
    summary = f"{' -> '.join(' + '.join(stage) for stage in decision.stages)}  ({REASONS[decision.reason]})"
    footer = f"{listener}: {asked}, {decision.latency_s * 1000:.1f} ms"
    if not console.is_terminal:
        console.out(summary, highlight=False)
        for name in names:
            console.out(f"  {ranks.get(name, '-')}  {_score(decision, name)}  {name}", highlight=False)
        console.out(footer, highlight=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("order", "agent", "score", ""):
        table.add_column(title)
    for name in names:
        style = "bold green" if name in ranks else "dim"
        bar = _bar(decision.scores.get(name, 0.0))
        table.add_row(Text(str(ranks.get(name, "-"))), Text(name), Text(_score(decision, name)), Text(bar), style=style)
    console.print(Text(summary, style="bold"), table, Text(footer, style="dim"), sep="\n")


def _score(decision: RouteDecision, name: str) -> str:
    return f"{decision.scores[name]:.3f}" if name in decision.scores else "    -"


def _bar(score: float) -> str:
    filled = round(score * BAR_WIDTH)
    return "█" * filled + "░" * (BAR_WIDTH - filled)
