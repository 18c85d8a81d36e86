"""The results as text: progress lines, tables and the goals (pure, but for the README)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal, goals
from benchmarks.measurement import Measurement, Summary, summary
from benchmarks.targets import TARGETS

BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
TITLES = {
    **{target.name: target.title for target in TARGETS},
    "models-messages": "the same, Anthropic client to OpenAI provider",
    "triton": "the models alone",
    "orchestrated-same": "the same, one prompt again and again",
}
ROWS = ("direct", "floor", "single", "models", "models-messages", "orchestrated", "orchestrated-same", "triton")


def markdown(results: Mapping[str, Any], measurements: Sequence[Measurement]) -> str:
    """The whole report on ``measurements``; ``results`` says when and where they were made."""
    found = summary(measurements)
    lines = [_setting(results), ""]
    lines += _table(("goal", "median", "rounds", "limit", ""), _goal_rows(measurements))
    for kind, title in (("json", "Whole answers"), ("stream", "Streams of 16 events")):
        rows = list(_rows(found, kind))
        if rows:
            lines += ["", f"**{title}**", "", *_table(_columns(kind), rows)]
    return "\n".join(lines)


def progress(measurement: Measurement) -> str:
    """One measurement on one line."""
    result = measurement.result
    first = result["first_token_p50_ms"]
    return (
        f"round {measurement.round + 1}  {measurement.scenario.name:<10} {measurement.target:<17} "
        f"{result['requests_per_s']:>9.1f} requests/s  p50 {result['p50_ms']:.3f} ms  p99 {result['p99_ms']:.3f} ms"
        + (f"  first token {first:.3f} ms" if first is not None else "")
        + (f"  {result['errors']} ERRORS" if result["errors"] else "")
    )


def update_readme(path: Path, text: str) -> None:
    """Put the report between the markers; everything else stays as it is."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{path} has no place for the results")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _setting(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("trident-router", "aiohttp", "uvloop", "grpcio"))
    return (
        f"{results['date']}: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, {versions}; "
        f"{'target pinned to one core' if results['pinned'] else 'not pinned'}; "
        f"medians of {results['rounds']} rounds of {results['seconds']:g} s."
    )


def _goal_rows(measurements: Sequence[Measurement]) -> Iterator[tuple[str, ...]]:
    for goal in goals(measurements):
        sign = "≥" if goal.at_least else "≤"
        spread = f"{_number(goal, min(goal.rounds))} to {_number(goal, max(goal.rounds))}"
        verdict = goal.verdict if goal.verdict == "ok" else f"**{goal.verdict}**"
        yield goal.text, f"{_number(goal, goal.measured)} {goal.unit}", spread, f"{sign} {goal.limit:g}", verdict


def _number(goal: Goal, value: float) -> str:
    return f"{value:.0f}" if goal.unit == "MB" else f"{value:.2f}"


def _columns(kind: str) -> tuple[str, ...]:
    first = ("first token p50 / p99 ms",) if kind == "stream" else ()
    return (
        "",
        "at once",
        "requests/s",
        "of the floor",
        "p50 / p99 ms",
        *first,
        "CPU ms a request (gateway + Triton)",
        "agent calls",
        "RSS MB",
    )


def _rows(found: Summary, kind: str) -> Iterator[tuple[str, ...]]:
    for concurrency in (1, 16, 64):
        scenario = f"{kind}-c{concurrency}"
        floor = _get(found, "floor", scenario)
        for target in ROWS:
            numbers = _get(found, target, scenario)
            if numbers:
                yield TITLES[target], str(concurrency), *_cells(numbers, floor, kind)


def _cells(numbers: Mapping[str, float], floor: Mapping[str, float] | None, kind: str) -> Iterator[str]:
    yield f"{numbers['requests_per_s']:,.0f}"
    yield f"{numbers['requests_per_s'] / floor['requests_per_s']:.2f}" if floor and floor["requests_per_s"] else ""
    yield f"{numbers['p50_ms']:.2f} / {numbers['p99_ms']:.2f}"
    if kind == "stream":
        yield f"{numbers['first_token_p50_ms']:.2f} / {numbers['first_token_p99_ms']:.2f}"
    triton = numbers.get("cpu_triton_ms", 0.0)
    gateway = numbers.get("cpu_gateway_ms")
    yield "" if gateway is None else f"{gateway:.2f}" + (f" + {triton:.2f}" if triton else "")
    yield f"{numbers['agent_calls']:.2f}" if "agent_calls" in numbers else ""
    memory = [f"{numbers.get(f'rss_{part}_mb', 0.0):.0f}" for part in ("gateway", "triton")]
    yield " + ".join(value for value in memory if value != "0")


def _get(found: Summary, target: str, scenario: str) -> dict[str, float] | None:
    return found.get(target, {}).get(scenario)


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
