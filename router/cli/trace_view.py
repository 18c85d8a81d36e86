"""A trace as a tree: names, offsets, durations, bars, what matters of the attributes, events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router.dialects.canonical import JsonObject
from router.telemetry import semconv

_BAR_CELLS = 20
_BARS_FROM_CELLS = 80  # of the terminal: on narrower ones, times and names have the room
_MIN_DETAIL_CELLS = 8
_MAX_VALUE_CHARS = 60
_MAX_WHOLE_CHARS = 4000  # where everything is asked for
_MAX_FOREIGN = 4  # attributes of spans that have none of those that matter
_MAX_NAME_CELLS = 60

# What is shown of a span, in this order, and under which name.
_SHOWN = {
    semconv.HTTP_STATUS: "status",
    semconv.LISTENER: "listener",
    semconv.API_KEY: "key",
    semconv.ROUTES: "route",
    semconv.ROUTE_REASON: "reason",
    semconv.SCORES: "scores",
    semconv.PREFERENCE: "preference",
    semconv.DEGRADED_PARTS: "degraded",
    semconv.OUTCOME: "verdict",
    semconv.GUARD_LABEL: "label",
    semconv.GUARD_SCORE: "score",
    semconv.DIRECTION: "direction",
    semconv.FILTER_OUTCOME: "outcome",
    semconv.PROVIDER: "provider",
    semconv.REQUEST_MODEL: "model",
    semconv.RESPONSE_MODEL: "answered by",
    semconv.UPSTREAM: "upstream",
    semconv.ATTEMPTS: "attempts",
    semconv.TIME_TO_FIRST_CHUNK: "first token",
    semconv.FINISH_REASONS: "finish",
    semconv.COST_USD: "cost",
    semconv.MODEL: "model",
    semconv.MODEL_VERSION: "version",
    semconv.TOOL_NAME: "tool",
    semconv.SIGNAL_TYPE: "signal",
    semconv.QUALITY: "quality",
}
_UNITS = frozenset({semconv.COST_USD, semconv.TIME_TO_FIRST_CHUNK})
_BAD_VERDICTS = frozenset({"block", "unavailable", "allowed_unchecked"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tree: ``prefix`` draws it, ``event`` is what happened within the span above."""

    prefix: str
    name: str
    offset_ms: float
    duration_ms: float
    details: tuple[tuple[str, str], ...]
    error: str | None = None
    service: str = ""
    event: bool = False


def tree_lines(spans: Sequence[JsonObject], *, verbose: bool = False) -> Iterator[Line]:
    """The lines for these spans (``trace_queries.span_fields``), children below their parents, by start."""
    known = {span["span_id"] for span in spans}
    children: defaultdict[str, list[JsonObject]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span["started_ns"], -span["ended_ns"])):
        parent = span["parent_id"]
        children[parent if parent in known and parent != span["span_id"] else ""].append(span)
    began_ns = min((span["started_ns"] for span in spans), default=0)
    several = len({span["service"] for span in spans}) > 1
    # A stack, since senders may nest as deep as they like.
    pending: list[tuple[JsonObject, str, str]] = [(span, "", "") for span in reversed(children.pop("", []))]
    while pending or children:
        if not pending:  # what is left is below itself: begin with any of it
            pending.append((next(iter(children.values())).pop(0), "", ""))
            children = defaultdict(list, {parent: left for parent, left in children.items() if left})
        span, prefix, below = pending.pop()
        own = children.pop(span["span_id"], [])
        yield Line(
            prefix,
            span["name"],
            (span["started_ns"] - began_ns) / 1e6,
            (span["ended_ns"] - span["started_ns"]) / 1e6,
            tuple(_details(span, verbose=verbose)),
            span["error"],
            span["service"] if several else "",
        )
        for event in span["events"]:
            said = tuple((key, _value(value)) for key, value in event["attributes"].items())
            mark = f"{below}{'│ ' if own else '  '}· "
            yield Line(mark, event["name"], (event["time_ns"] - began_ns) / 1e6, 0.0, said, event=True)
        for index, child in enumerate(reversed(own)):
            last = index == 0
            pending.append((child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}"))


def print_trace(console: Console, summary: JsonObject, spans: Sequence[JsonObject], *, verbose: bool = False) -> None:
    """Print a trace; without a terminal nothing is wrapped or coloured, and there are no bars."""
    lines = list(tree_lines(spans, verbose=verbose))
    console.print(_headline(summary), soft_wrap=True, highlight=False)
    if console.is_terminal:
        console.print(_table(lines, summary, has_bars=console.width >= _BARS_FROM_CELLS), highlight=False)
        return
    width = min(_MAX_NAME_CELLS, max((cell_len(_title(line)) for line in lines), default=0))
    for line in lines:
        pad = " " * max(0, width - cell_len(_title(line)))
        when = f"+{duration(line.offset_ms)}" + ("" if line.event else f"  {duration(line.duration_ms)}")
        text = "  ".join(part for part in (f"{_title(line)}{pad}", when, _detail_text(line).plain) if part)
        console.out(text.rstrip(), highlight=False)


def duration(milliseconds: float) -> str:
    """``0.42 ms``, ``12.3 ms``, ``1.52 s``."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds >= 1 else f"{milliseconds:.2f} ms"


def clock(nanoseconds: int) -> str:
    """The local time of day."""
    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%H:%M:%S")


def tokens_of(fields: Mapping[str, Any]) -> str:
    """Tokens in and out of a summary or row, empty where there are none."""
    given, made = fields.get("input_tokens"), fields.get("output_tokens")
    return "" if not given and not made else f"{given or 0}/{made or 0}"


def _headline(summary: JsonObject) -> Text:
    parts = [
        clock(summary["started_ns"]),
        duration(summary["duration_ms"]),
        f"{summary['spans']} spans" if summary["spans"] != 1 else "1 span",
        ", ".join(summary["services"]),
    ]
    if tokens := tokens_of(summary):
        parts.append(f"tokens {tokens}")
    if isinstance(cost_usd := summary.get("cost_usd"), int | float):
        parts.append(f"${cost_usd:.6g}")
    if summary["dropped"]:
        parts.append(f"{summary['dropped']} spans too many")
    head = Text.assemble(("trace ", "dim"), (printable(summary["trace_id"]), "bold"), "  ", printable("  ".join(parts)))
    if summary["error"] is not None:
        head.append(f"  error: {printable(summary['error'])}", style="bold red")
    return head


def _table(lines: Sequence[Line], summary: JsonObject, *, has_bars: bool) -> Table:
    ends = [line.offset_ms + line.duration_ms for line in lines]
    whole_ms = max([summary["duration_ms"], *ends, 1e-6])
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, max_width=_MAX_NAME_CELLS)
    if has_bars:
        grid.add_column(no_wrap=True, width=_BAR_CELLS)
    grid.add_column(no_wrap=True, justify="right", min_width=max(map(len, map(_when, lines)), default=0))
    grid.add_column(overflow="fold", min_width=_MIN_DETAIL_CELLS)
    for line in lines:
        name = Text.assemble((line.prefix, "dim"), (printable(line.name), _name_style(line)))
        if line.service:
            name.append(f" [{printable(line.service)}]", style="cyan")
        bar = [Text() if line.event else _bar(line, whole_ms)] if has_bars else []
        grid.add_row(name, *bar, Text(_when(line), style="dim" if line.event else ""), _detail_text(line))
    return grid


def _when(line: Line) -> str:
    return f"+{duration(line.offset_ms)}" if line.event else duration(line.duration_ms)


def _bar(line: Line, whole_ms: float) -> Text:
    start = min(_BAR_CELLS - 1, int(line.offset_ms / whole_ms * _BAR_CELLS))
    length = max(1, min(_BAR_CELLS - start, round(line.duration_ms / whole_ms * _BAR_CELLS)))
    return Text(" " * start).append("━" * length, style="red" if line.error else "blue")


def _name_style(line: Line) -> str:
    if line.event:
        return "dim"
    return "bold red" if line.error else "bold"


def _detail_text(line: Line) -> Text:
    text = Text()
    if line.error is not None:
        text.append(f"error={printable(line.error)} ", style="red")
    for key, value in line.details:
        bad = key == "degraded" or (key == "verdict" and value in _BAD_VERDICTS)
        text.append(f"{printable(key)}=", style="dim")
        text.append(f"{printable(value)} ", style="yellow" if bad else "")
    text.rstrip()
    return text


def _title(line: Line) -> str:
    service = f" [{printable(line.service)}]" if line.service else ""
    return f"{line.prefix}{printable(line.name)}{service}"


def _details(span: JsonObject, *, verbose: bool) -> Iterator[tuple[str, str]]:
    attributes: dict[str, Any] = span["attributes"]
    if verbose:
        yield from ((key, _value(value, max_chars=_MAX_WHOLE_CHARS)) for key, value in sorted(attributes.items()))
        return
    shown = {key: label for key, label in _SHOWN.items() if key in attributes}
    if attributes.get(semconv.RESPONSE_MODEL) == attributes.get(semconv.REQUEST_MODEL):
        shown.pop(semconv.RESPONSE_MODEL, None)
    for key, label in shown.items():
        value = attributes[key]
        if str(value) and str(value) not in span["name"].split():
            yield label, _value(value, unit=key)
    given, made = attributes.get(semconv.INPUT_TOKENS), attributes.get(semconv.OUTPUT_TOKENS)
    if given is not None or made is not None:
        yield "tokens", f"{given or 0}/{made or 0}"
    if not shown and given is None:
        for key, value in list(attributes.items())[:_MAX_FOREIGN]:
            yield key, _value(value)


def _value(value: Any, unit: str = "", max_chars: int = _MAX_VALUE_CHARS) -> str:
    if unit in _UNITS and isinstance(value, int | float):
        return f"${value:.6g}" if unit == semconv.COST_USD else duration(value * 1000)
    if isinstance(value, list):
        text = ",".join(map(str, value))
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def printable(text: str) -> str:
    """``text`` without what would steer the terminal: names and values come from whoever sends spans."""
    return "".join(character if character.isprintable() else "�" for character in text)
