from __future__ import annotations

import io

from rich.console import Console

from router.cli.status import Row, Section, print_status

LONG_URL = "http://a-very-long-host-name.internal.example:10510/" + "path/" * 40


def printed(*, terminal: bool, sections: tuple[Section, ...]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system="standard" if terminal else None)
    print_status(console, "trident is ready", sections, "Stop with Ctrl-C.")
    return stream.getvalue()


def test_without_a_terminal_every_row_is_one_plain_line() -> None:
    sections = (
        Section("Agents", (Row("weather_agent", (LONG_URL, "on travel (default)")),)),
        Section("Providers", (Row("openai/gpt-4o", ("",), "unavailable: [bold]no key[/bold]", well=False),)),
    )
    assert printed(terminal=False, sections=sections).splitlines() == [
        "trident is ready",
        "Agents:",
        f"  weather_agent  {LONG_URL}  on travel (default)",
        "Providers:",
        "  openai/gpt-4o  unavailable: [bold]no key[/bold]",
        "Stop with Ctrl-C.",
    ]


def test_a_section_without_rows_is_left_out() -> None:
    assert "Agents" not in printed(terminal=False, sections=(Section("Agents", ()),))
    assert "Agents" not in printed(terminal=True, sections=(Section("Agents", ()),))


def test_a_terminal_gets_a_panel_that_loses_nothing() -> None:
    sections = (Section("Agents", (Row("[red]odd[/red]", ("http://localhost:1",)), Row("second", (), "unused"))),)
    output = printed(terminal=True, sections=sections)
    assert "╭" in output
    assert "\x1b[" in output
    for text in ("trident is ready", "[red]odd[/red]", "http://localhost:1", "unused", "Stop with Ctrl-C."):
        assert text in output
