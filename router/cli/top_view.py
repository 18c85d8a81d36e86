"""What ``trident top`` shows of an overview (``router.observer.overview``): panels on a terminal, else lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.cli.trace_view import clock, duration, printable, tokens_of
from router.dialects.canonical import JsonObject

_MAX_ROWS = 12

Column = tuple[str, Callable[[Mapping[str, Any]], str]]


def _count(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row.get(key) is None else f"{row[key]:,}"


def _seconds(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row.get(key) is None else duration(row[key] * 1000)


def _cost(row: Mapping[str, Any]) -> str:
    return f"${row['cost_usd']:,.4f}" if row.get("cost_usd") else ""


_COMMON: tuple[Column, ...] = (
    ("req/s", lambda row: f"{row['per_s']:.1f}"),
    ("requests", _count("total")),
    ("errors", _count("errors")),
    ("p50", _seconds("p50_s")),
    ("p95", _seconds("p95_s")),
    ("first token", _seconds("first_token_p50_s")),
)
_USAGE: tuple[Column, ...] = (("tokens in/out", tokens_of), ("cost", _cost))
_TABLES: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    ("listeners", "LISTENER", (("in flight", _count("in_flight")), *_COMMON, *_USAGE)),
    ("agents", "AGENT", (*_COMMON, _USAGE[0])),
    ("models", "MODEL", (*_COMMON, *_USAGE)),
)
_COUNTS = ("routes", "signals", "quality", "degraded", "dropped")
_WARNING = frozenset({"degraded", "dropped", "breakers"})


def print_overview(console: Console, overview: JsonObject, name: str) -> None:
    """Print an overview once."""
    if console.is_terminal:
        console.print(render_overview(overview, name), highlight=False)
        return
    for line in plain_lines(overview, name):
        console.out(line, highlight=False)


def render_overview(overview: JsonObject, name: str) -> RenderableType:
    """An overview for a terminal; ``name`` is that of the instance."""
    parts: list[RenderableType] = [Text(_headline(overview, name), style="bold"), _vitals(overview), Text()]
    for key, title, columns in _TABLES:
        if overview[key]:
            parts += [_table(title, columns, overview[key][:_MAX_ROWS]), Text()]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, text in _facts(overview):
        facts.add_row(title, Text(text, style="yellow" if title in _WARNING else ""))
    parts.append(facts)
    if overview["recent"]:
        parts += [Text(), _recent(overview["recent"])]
    return Group(*parts)


def plain_lines(overview: JsonObject, name: str) -> Iterator[str]:
    """An overview line by line."""
    yield _headline(overview, name)
    yield _vitals(overview).plain
    for key, title, columns in _TABLES:
        for row in overview[key]:
            pairs = ((label, show(row)) for label, show in columns)
            said = "  ".join(f"{label}={text}" for label, text in pairs if text)
            yield f"{title.lower()} {printable(row['name'])}  {said}"
    for title, text in _facts(overview):
        yield f"{title}: {text}"
    for trace in overview["recent"]:
        yield "  ".join(("recent", *_recent_cells(trace)))


def _headline(overview: JsonObject, name: str) -> str:
    workers = overview["workers"]
    return f"{name}  up {_uptime(overview['uptime_s'])}  {workers} worker{'' if workers == 1 else 's'}"


def _vitals(overview: JsonObject) -> Text:
    requests = overview["requests"]
    text = Text.assemble(
        (f"{requests['per_s']:.1f}", "bold"),
        " req/s  ",
        (f"{requests['in_flight'] or 0}", "bold"),
        " in flight  ",
        f"{requests['total']:,} requests  ",
        (f"{requests['errors']:,} errors", "red" if requests["errors"] else ""),
    )
    for label, key in (("p50", "p50_s"), ("p95", "p95_s")):
        if requests[key] is not None:
            text.append(f"  {label} {duration(requests[key] * 1000)}")
    given, made = overview["tokens"].get("input", 0), overview["tokens"].get("output", 0)
    if given or made:
        text.append(f"  tokens {given:,}/{made:,}")
    if overview["cost_usd"]:
        text.append(f"  ${overview['cost_usd']:,.4f}")
    return text


def _table(title: str, columns: Sequence[Column], rows: Sequence[JsonObject]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column(title, overflow="fold", style="bold")
    for label, _ in columns:
        table.add_column(label, justify="right", no_wrap=True)
    for row in rows:
        cells = [Text(show(row), style="red" if label == "errors" and row["errors"] else "") for label, show in columns]
        table.add_row(Text(printable(row["name"] or "-")), *cells)
    return table


def _facts(overview: JsonObject) -> Iterator[tuple[str, str]]:
    if overview["guards"]:
        guards = (
            f"{guard['name']} "
            + " ".join(f"{outcome} {total:,}" for outcome, total in sorted(guard["outcomes"].items()))
            for guard in overview["guards"]
        )
        yield "guards", printable("; ".join(guards))
    for key in _COUNTS:
        if overview[key]:
            yield key, printable(", ".join(f"{entry['name']} {entry['total']:,}" for entry in overview[key]))
    if overview["breakers"]:
        yield "breakers", printable(", ".join(f"{entry['name']} {entry['state']}" for entry in overview["breakers"]))


def _recent(traces: Sequence[JsonObject]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title in ("RECENT", "trace", "request", "status", "took", "tokens"):
        table.add_column(title, overflow="fold", justify="right" if title in {"took", "tokens"} else "left")
    for trace in traces:
        cells = [Text(cell) for cell in _recent_cells(trace)]
        cells[3].stylize("red" if trace["error"] is not None else "green")
        table.add_row(*cells)
    return table


def _recent_cells(trace: JsonObject) -> tuple[str, ...]:
    cells = (
        clock(trace["started_ns"]),
        trace["trace_id"][:16],
        trace["name"],
        str(trace.get("status") or trace["error"] or "ok"),
        duration(trace["duration_ms"]),
        tokens_of(trace),
    )
    return tuple(map(printable, cells))


def _uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s" if minutes else f"{rest}s"
