from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import cpu_level, describe
from benchmarks.measurement import Measurement, Scenario, summary
from benchmarks.report import BEGIN, END, markdown, progress, update_readme
from benchmarks.targets import FOLDER
from tests.benchmarks.measurements import measured, measured_all


def test_numbers_are_medians_over_rounds_and_memory_is_the_highest() -> None:
    scenario = Scenario("json", 1)
    rounds = [measured("floor", scenario, rate, 1.0, number=i) for i, rate in enumerate((500.0, 900.0, 700.0))]
    numbers = summary(rounds)["floor"]["json-c1"]
    assert numbers["requests_per_s"] == 700.0
    assert numbers["rss_gateway_mb"] == 102
    assert "first_token_p50_ms" not in numbers


def _results() -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "machine": describe(),
        "pinned": True,
        "rounds": 3,
        "seconds": 3.0,
    }


def test_the_report_has_a_row_for_every_target_and_says_what_was_missed() -> None:
    text = markdown(_results(), measured_all(direct=0.1, floor=1.0, single=2.0))
    assert "| one agent / floor, requests/s, json-c16 | 0.50 x | 0.50 to 0.50 | ≥ 0.7 | **missed** |" in text
    assert text.count("| Trident, one agent | ") == 6
    assert "| smallest aiohttp proxy | 16 | 1,000 | 1.00 | 1.00 / 3.00 | 0.50 / 1.00 | 0.50 | 1.00 | 100 |" in text


def test_progress_shows_errors() -> None:
    measurement = measured("floor", Scenario("stream", 16), 1000.0, 1.0)
    assert "ERRORS" not in progress(measurement)
    broken = Measurement("floor", measurement.scenario, 0, {**measurement.result, "errors": 3})
    assert progress(broken).endswith("3 ERRORS")


def test_the_readme_keeps_everything_outside_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    update_readme(readme, "new")
    assert readme.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="no place"):
        update_readme(readme, "new")
    assert readme.read_text(encoding="utf-8") == "nothing here"


def test_our_readme_has_a_place_for_the_results() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ({"sse4_2", "avx2"}, "x86-64-v3"),
        ({"sse4_2", "avx2", "avx512bw", "avx512_vnni"}, "x86-64-v4 with AVX-512 VNNI"),
        ({"sse4_2"}, "x86-64-v2"),
    ],
)
def test_the_cpu_is_described_by_its_level(flags: set[str], level: str) -> None:
    assert cpu_level(frozenset(flags)) == level
