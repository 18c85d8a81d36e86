"""The status block of ``trident up``: what runs, where, how to stop it; a panel on a terminal, else plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that runs or should: ``state`` is empty when there is nothing to say, ``well`` colours it."""

    name: str
    facts: tuple[str, ...] = ()
    state: str = ""
    well: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one kind."""

    title: str
    rows: tuple[Row, ...]


def print_status(console: Console, headline: str, sections: Sequence[Section], closing: str) -> None:
    """Print the block; without a terminal nothing is wrapped, coloured or framed."""
    shown = [section for section in sections if section.rows]
    if console.is_terminal:
        console.print(
            Panel(
                Group(*_blocks(shown, closing)),
                title=f"[bold]{headline}[/]",
                border_style="green",
                padding=(1, 2),
                expand=False,
            )
        )
        return
    for line in (headline, *_lines(shown), closing):
        console.out(line, highlight=False)


def _lines(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        yield f"{section.title}:"
        for row in section.rows:
            yield "  " + "  ".join(part for part in (row.name, *row.facts, row.state) if part)


def _blocks(sections: Sequence[Section], closing: str) -> Iterator[RenderableType]:
    for section in sections:
        columns = 1 + max(len(row.facts) for row in section.rows)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        for _ in range(columns):
            grid.add_column(overflow="fold")
        for row in section.rows:
            facts = [Text(fact) for fact in row.facts] + [Text()] * (columns - 1 - len(row.facts))
            mark = Text("●", style="green" if row.well else "yellow")
            name = Text.assemble(mark, " ", (row.name, "bold"))
            grid.add_row(name, *facts, Text(row.state, style="green" if row.well else "yellow"))
        yield Text(section.title, style="dim")
        yield grid
        yield Text()
    yield Text(closing, style="dim")
