"""``trident eval``: a user's own routing tests against their configuration, fit to stand in their CI."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from router.cli.loading import load_or_exit
from router.cli.options import state_dir_option
from router.cli.route import DECIDE_WITHIN_S, choose_listener
from router.cli.triton import live_routers
from router.config import LoadedConfig
from router.config.routing_tests import RoutingTests, load_routing_tests
from router.context import Turn
from router.errors import OperatorError
from router.routing.evaluation import NOBODY, Outcome, Report, evaluate
from router.telemetry.logs import configure_logging

_SHOWN_TEXT_CHARS = 60
_SHOWN_WRONG = 20
_SHOWN_PAIRS = 5


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="The configuration; FILE's own `config` otherwise.")
@click.option("--minimum", type=click.FloatRange(0, 1), help="Share that has to be right; FILE's own otherwise.")
@click.option("--triton-url", help="gRPC address of the Triton to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@state_dir_option
def eval_command(
    file: Path, config: Path | None, minimum: float | None, triton_url: str | None, as_json: bool, state_dir: Path
) -> None:
    """Run the routing tests of FILE and say how good the descriptions are. Calls no agent.

    Prints the accuracy, every case that went wrong, who is taken for whom, the weakest descriptions and the agents that
    collide. Exits with 1 when fewer cases than `minimum` are exactly right.

    \b
    FILE is YAML:
      config: config.yaml        # relative to FILE
      minimum: 0.9
      cases:
        - text: What's the weather in Oslo?
          agents: [weather_agent]
        - messages:
            - {role: user, content: "Flights to Rome on Friday?"}
            - {role: assistant, content: "From where?"}
            - {role: user, content: "Oslo. And will it rain there?"}
          agents: [flight_agent, weather_agent]
          ordered: true
        - {text: hi there, agents: []}     # nobody: the default answers
    """
    configure_logging(sys.stderr, level="error")
    tests = load_routing_tests(file)
    err = Console(stderr=True)
    loaded = load_or_exit(config or tests.config, err)
    report = asyncio.run(run(loaded, tests, triton_url, state_dir, err))
    wanted = tests.minimum if minimum is None else minimum
    if as_json:
        click.echo(json.dumps(as_fields(report, wanted)))
    else:
        print_report(Console(), report, wanted)
    raise SystemExit(0 if report.accuracy >= wanted else 1)


async def run(
    loaded: LoadedConfig, tests: RoutingTests, triton_url: str | None, state_dir: Path, console: Console
) -> Report:
    """Decide every case. Raises ``OperatorError`` when a case names an agent that the listener does not offer."""
    async with live_routers(loaded, triton_url, state_dir, console) as routers:
        name = choose_listener(tuple(routers), tests.listener)
        offered = [
            agent.id for listener in loaded.config.listeners if listener.name == name for agent in listener.agents
        ]
        _check_agents(tests, offered)
        outcomes = []
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            for case in progress.track(tests.cases, description="Deciding"):
                turns = [Turn(role, content) for role, content in case.conversation]
                decision = await routers[name].decide(turns, timeout_s=DECIDE_WITHIN_S)
                outcomes.append(Outcome(turns[-1].content, case.agents, case.ordered, decision))
    return evaluate(outcomes, offered)


def _check_agents(tests: RoutingTests, offered: Sequence[str]) -> None:
    for number, case in enumerate(tests.cases):
        unknown = [name for name in case.agents if name not in offered]
        if unknown:
            raise OperatorError(
                f"cases[{number}] expects {unknown[0]}, which the listener does not offer.",
                fix=f"It offers {', '.join(offered)}.",
            )


def as_fields(report: Report, minimum: float) -> dict[str, object]:
    """The report for machines."""
    return {
        "accuracy": report.accuracy,
        "minimum": minimum,
        "cases": len(report.outcomes),
        "wrong": [
            {
                "text": outcome.text,
                "expected": outcome.expected,
                "chosen": outcome.chosen,
                "reason": outcome.decision.reason,
                "scores": dict(outcome.decision.scores),
            }
            for outcome in report.wrong
        ],
        "agents": [
            {"name": a.name, "f1": a.f1, "hits": a.hits, "false_alarms": a.false_alarms, "misses": a.misses}
            for a in report.agents
        ],
        "confusion": [{"expected": e, "chosen": c, "count": n} for (e, c), n in report.confusion.items()],
        "collisions": [{"wanted": w, "taken": t, "count": n} for (w, t), n in report.collisions],
    }


def print_report(console: Console, report: Report, minimum: float) -> None:
    """The report for people."""
    right = len(report.outcomes) - len(report.wrong)
    good = report.accuracy >= minimum
    headline = f"{right} of {len(report.outcomes)} cases right ({report.accuracy:.1%}), at least {minimum:.1%} wanted"
    console.print(Text(headline, style="bold green" if good else "bold red"))
    if report.wrong:
        console.print(_table("Wrong", ("text", "expected", "chosen", "score"), _wrong_rows(report)))
    console.print(_confusion(report))
    agents = [(agent.name, f"{agent.f1:.2f}", str(agent.misses), str(agent.false_alarms)) for agent in report.agents]
    console.print(_table("Agents, weakest first", ("agent", "F1", "missed", "wrongly chosen"), agents))
    if report.collisions:
        pairs = [(wanted, taken, str(count)) for (wanted, taken), count in report.collisions[:_SHOWN_PAIRS]]
        console.print(_table("Collisions: look at these descriptions", ("needed", "wrongly chosen", "times"), pairs))


def _wrong_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for outcome in report.wrong[:_SHOWN_WRONG]:
        text = " ".join(outcome.text.split())
        short = text if len(text) <= _SHOWN_TEXT_CHARS else text[: _SHOWN_TEXT_CHARS - 1] + "…"
        scores = outcome.decision.scores
        named = dict.fromkeys([*outcome.expected, *outcome.chosen])
        shown = " ".join(f"{name}={scores[name]:.2f}" for name in named if name in scores)
        arrow = " > " if outcome.ordered else " + "
        chosen = " > ".join(outcome.chosen) or (NOBODY if outcome.decision.reason != "degraded" else "(no decision)")
        rows.append((short, arrow.join(outcome.expected) or NOBODY, chosen, shown))
    if len(report.wrong) > _SHOWN_WRONG:
        rows.append((f"… and {len(report.wrong) - _SHOWN_WRONG} more (--json has all)", "", "", ""))
    return rows


def _confusion(report: Report) -> Table:
    names = [agent.name for agent in sorted(report.agents, key=lambda agent: agent.name)] + [NOBODY]
    rows = [
        (name, *(str(report.confusion.get((name, other), "")) or "·" for other in names))
        for name in names
        if any(expected == name for expected, _ in report.confusion)
    ]
    return _table("Cases for one agent or nobody: expected (rows), chosen (columns)", ("", *names), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="dim", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
