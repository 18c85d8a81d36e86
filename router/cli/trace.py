"""``trident trace``: the traces that a running instance keeps, and a collector in the foreground."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router.cli.observing import answers, folder_of, instance_option, run_until_interrupted, running_instance
from router.cli.trace_view import clock, duration, print_trace, printable, tokens_of
from router.config.fields import parse_duration
from router.dialects.canonical import JsonObject
from router.observer.client import ask

MAX_LISTED = 1000

_TABLE_FROM_CELLS = 100  # narrower columns fold words letter by letter


class TraceGroup(click.Group):
    """``trident trace [ID]``, and beside it ``trident trace listen``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["listen"] else ["show", *args])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return None if name == "show" else name, command, rest


class ShowCommand(click.Command):
    """What the group does without a name of its own."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path.rstrip(), " ".join(self.collect_usage_pieces(ctx)))


@click.group("trace", cls=TraceGroup)
def trace_command() -> None:
    """Show traces."""


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose traces; ``as_query`` makes a query of them."""
    options = [
        click.option(
            "-w",
            "--where",
            multiple=True,
            metavar="KEY=VALUE",
            help="An attribute of one of its spans; KEY~PART for a part of it. All of several have to be true.",
        ),
        click.option("--since", metavar="TIME", help="Not older than that, as in 10m or 2h."),
        click.option("--status", type=click.Choice(["ok", "error"]), help="Whether any of its spans has failed."),
        click.option("--slower", metavar="TIME", help="That took as long at least, as in 500ms."),
        click.option("--listener", help="Through this listener."),
        click.option("--agent", help="With this agent."),
        click.option("--model", help="With this model."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def as_query(options: dict[str, Any]) -> dict[str, Any]:
    """The filters of ``filter_options`` as the telemetry process wants them."""
    query: dict[str, Any] = {"where": list(options["where"])}
    for name in ("status", "listener", "agent", "model"):
        query[name] = options[name]
    if options["since"]:
        query["since_ns"] = time.time_ns() - int(_seconds(options["since"], "--since") * 1e9)
    if options["slower"]:
        query["min_duration_ms"] = _seconds(options["slower"], "--slower") * 1000
    return query


@trace_command.command("show", cls=ShowCommand)
@click.argument("trace_id", metavar="[ID]", required=False)
@click.option("--list", "listed", is_flag=True, help="List traces, the newest first.")
@click.option("-f", "--follow", is_flag=True, help="Show traces as they come, until Ctrl-C.")
@click.option("-n", "--limit", type=click.IntRange(1, MAX_LISTED), default=20, show_default=True, help="With --list.")
@click.option("-v", "--verbose", is_flag=True, help="Show every attribute.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, and with --follow one a line.")
@filter_options
@instance_option
def show_command(
    trace_id: str | None, listed: bool, follow: bool, as_json: bool, config: Path | None, **options: Any
) -> None:
    """Show where the time of a request went: the trace ID (its beginning is enough), or the newest one.

    ID may also be the id of a request, as in `x-request-id`. The newest traces of an instance are kept in its memory.
    `trident trace listen` collects the spans of any program in the foreground.

    \b
    Examples:
      trident trace                                    The newest.
      trident trace 4bf92f35                           This one.
      trident trace --list --status error --since 10m
      trident trace -w gen_ai.request.model~gpt --follow
      trident trace --json | jq '.spans[].name'
    """
    if trace_id is not None and (listed or follow):
        raise click.UsageError("Give ID, or --list, or --follow.")
    instance = running_instance(config, options["state_dir"])
    folder = folder_of(instance, options["state_dir"])
    query = as_query(options)
    console = Console()
    verbose: bool = options["verbose"]
    if follow:
        run_until_interrupted(_follow(folder, query, console, as_json=as_json, verbose=verbose))
    elif listed:
        found = asyncio.run(answers(folder, "traces", limit=options["limit"], **query))
        traces = [frame["trace"] for frame in found]
        if as_json:
            print_json({"traces": traces})
        else:
            print_list(console, traces)
    else:
        head, *rest = asyncio.run(answers(folder, "trace", id=trace_id, **query))
        print_one(console, head["trace"], [frame["span"] for frame in rest], as_json=as_json, verbose=verbose)


async def _follow(folder: Path, query: dict[str, Any], console: Console, *, as_json: bool, verbose: bool) -> None:
    summary: JsonObject = {}
    spans: list[JsonObject] = []
    async with aclosing(ask(folder, "traces_follow", **query)) as frames:
        async for frame in frames:
            if "trace" in frame:
                summary, spans = frame["trace"], []
            else:
                spans.append(frame["span"])
            if len(spans) == summary["spans"]:
                print_one(console, summary, spans, as_json=as_json, verbose=verbose, one_line=True)


def print_one(
    console: Console,
    summary: JsonObject,
    spans: list[JsonObject],
    *,
    as_json: bool,
    verbose: bool = False,
    one_line: bool = False,
) -> None:
    """Print one trace; ``one_line`` is for those of many in JSON."""
    if as_json:
        print_json({"trace": summary, "spans": spans}, one_line=one_line)
        return
    print_trace(console, summary, spans, verbose=verbose)
    if one_line:
        console.out("")


def print_json(value: JsonObject, *, one_line: bool = False) -> None:
    """Print an object for machines, at once."""
    click.echo(json.dumps(value, indent=None if one_line else 2, ensure_ascii=False))


def print_list(console: Console, traces: list[JsonObject]) -> None:
    """Print summaries, one a line; on a terminal as a table."""
    rows = [_columns(trace) for trace in traces]
    if not rows:
        console.out("No traces.", highlight=False)
    elif not console.is_terminal or console.width < _TABLE_FROM_CELLS:
        for row in rows:
            console.out("  ".join(part or "-" for part in row), highlight=False)
    else:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for title in ("TRACE", "TIME", "NAME", "STATUS", "TIME TAKEN", "SPANS", "LISTENER", "ANSWERED BY", "TOKENS"):
            right = title in {"TIME TAKEN", "SPANS", "TOKENS"}
            table.add_column(title, justify="right" if right else "left", overflow="fold")
        for row, trace in zip(rows, traces, strict=True):
            cells = [Text(cell) for cell in row]
            cells[0] = Text(row[0][:16], style="bold")
            cells[3].stylize("red" if trace["error"] is not None else "green")
            table.add_row(*cells)
        console.print(table, highlight=False)


def _columns(trace: JsonObject) -> tuple[str, ...]:
    status = str(trace.get("status", ""))
    if trace["error"] is not None and trace["error"] != status:
        status = f"{status} {trace['error']}".strip()
    cells = (
        trace["trace_id"],
        clock(trace["started_ns"]),
        trace["name"],
        status or "ok",
        duration(trace["duration_ms"]),
        str(trace["spans"]),
        str(trace.get("listener", "")),
        ",".join([*trace["agents"], *trace["models"]]),
        tokens_of(trace),
    )
    return tuple(map(printable, cells))


def _seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a time, as in 500ms, 10m or 2h.", param_hint=option) from exc


@trace_command.command("listen")
@click.option(
    "--address", "--host", default="127.0.0.1", show_default=True, help="Address to listen on. Nobody is authenticated."
)
@click.option("--grpc-port", "--port", type=click.IntRange(0, 65535), default=4317, show_default=True)
@click.option("--http-port", type=click.IntRange(0, 65535), default=4318, show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Show every attribute.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each trace.")
@filter_options
def listen_command(address: str, grpc_port: int, http_port: int, as_json: bool, **options: Any) -> None:
    """Collect OTLP spans of any program in the foreground and print their traces as they come, until Ctrl-C.

    A trace is printed when nothing more of it has come for a moment, and once more when more does.

    \b
    Examples:
      trident trace listen
      OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python agent.py    In another terminal.
    """
    from router.cli.trace_listen import listen  # with a server, which looking at traces does without

    console = Console()

    def show(summary: JsonObject, spans: list[JsonObject]) -> None:
        print_one(console, summary, spans, as_json=as_json, verbose=options["verbose"], one_line=True)

    run_until_interrupted(listen(address, grpc_port, http_port, as_query(options), show))
