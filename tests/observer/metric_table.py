"""The table of all metrics in docs/observability.md: ``python -m tests.observer.metric_table`` writes it."""

from __future__ import annotations

from pathlib import Path

from router.observer.prometheus import family_name, label_name
from router.telemetry.catalogue import METRICS
from router.telemetry.instruments import Definition

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"
_BEGIN = "<!-- metrics: begin -->\n"
_END = "<!-- metrics: end -->"
_KINDS = {
    "counter": "counter",
    "up_down_counter": "gauge (up-down counter)",
    "gauge": "gauge",
    "histogram": "histogram",
}


def metric_table() -> str:
    """One row for each metric of the catalogue."""
    head = "| metric | in Prometheus | kind | labels | what it is |\n|---|---|---|---|---|\n"
    return head + "".join(f"{_row(each)}\n" for each in METRICS.values())


def with_table(document: str) -> str:
    """``document`` with the table between its two marks."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{metric_table()}{_END}{after}"


def _row(each: Definition) -> str:
    suffix = "_total" if each.kind == "counter" else ""
    labels = ", ".join(f"`{label_name(label)}`" for label in each.labels)
    name = f"`{family_name(each)}{suffix}`"
    return f"| `{each.name}` | {name} | {_KINDS[each.kind]} | {labels} | {each.description} |"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
