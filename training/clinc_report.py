"""CLINC150 with its domains as agents: a set that no embedded model was trained on.

All ten domains as one roster, and rosters of five of them, where the other domains and CLINC's out-of-scope texts are
nobody's. Two texts of different domains make a request for several agents.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from areas import Scores, auroc, bootstrap
from corpus import Agent, Case
from decisions import Row, compute_rows, hits, probabilities
from embed import ServedOrchestrator
from quality_table import Line
from roster_examples import RosterExamples, join_cases, roster_of

PER_DOMAIN = 60
OUT_OF_SCOPE = 150
SMALL_ROSTERS = 6
SMALL = 5
JOINED = 300


def clinc_rosters(folder: Path, seed: int = 0) -> list[RosterExamples]:
    """The roster of all domains first, then the small ones; each with the same sample of CLINC's test texts."""
    rng = random.Random(seed)
    domains, rows = _read(folder)
    sample = [row for name in domains for row in rng.sample(_of(rows, name), PER_DOMAIN)]
    stray = rng.sample(_of(rows, None), OUT_OF_SCOPE)
    small = [sorted(rng.sample(sorted(domains), SMALL)) for _ in range(SMALL_ROSTERS)]
    return [_roster("clinc-10", domains, list(domains), sample)] + [
        _roster(f"clinc-5-{number}", domains, names, sample + stray) for number, names in enumerate(small)
    ]


def joined_roster(folder: Path, seed: int = 0) -> RosterExamples:
    """All domains, and requests that two of them are needed for."""
    rng = random.Random(seed)
    domains, rows = _read(folder)
    agents = [Agent(name, text) for name, text in domains.items()]
    cases = []
    for _ in range(JOINED):
        left, right = (
            Case("single", (("user", rng.choice(_of(rows, name))["text"]),), (name,), ordered=False)
            for name in rng.sample(sorted(domains), 2)
        )
        cases.append(join_cases(left, right, rng))
    return roster_of("clinc-joined", agents, cases)


def joined_line(folder: Path, model: ServedOrchestrator, threshold: float, slope: float, offset: float) -> Line:
    rows = compute_rows([joined_roster(folder)], model)
    found = hits(rows, probabilities(rows, slope, offset), threshold)["exact"]
    exact = np.array([outcome for _, outcome in found], dtype=np.float64)
    low, high = bootstrap(lambda mine, _: float(mine.mean()), exact, exact)
    return Line("CLINC150, two requests joined, exact set", len(exact), float(exact.mean()), low, high, "0.88")


def clinc_lines(folder: Path, model: ServedOrchestrator) -> list[Line]:
    rows = compute_rows(clinc_rosters(folder), model)
    whole = [row for row in rows if row.roster == "clinc-10"]
    five = [row for row in rows if row.roster != "clinc-10"]
    wanted = _highest([row for row in five if row.example.needed])
    unwanted = _highest([row for row in five if not row.example.needed])
    low, high = bootstrap(auroc, wanted, unwanted)
    return [
        _top_line("CLINC150, ten domains, top-1", whole, "0.90"),
        _top_line("CLINC150, five domains, top-1", [row for row in five if row.example.needed], "0.94"),
        Line(
            "CLINC150, five domains, nobody's: AUROC",
            len(five),
            auroc(wanted, unwanted),
            low,
            high,
            "0.96",
        ),
    ]


def _read(folder: Path) -> tuple[dict[str, str], list[Any]]:
    """The descriptions of the domains, and the test texts."""
    domains = json.loads((folder / "clinc_agents.json").read_text(encoding="utf-8"))["domains"]
    with gzip.open(folder / "clinc150.jsonl.gz", "rt", encoding="utf-8") as lines:
        return domains, [row for row in map(json.loads, lines) if row["split"] == "test"]


def _of(rows: Sequence[Any], domain: str | None) -> list[Any]:
    return [row for row in rows if row["domain"] == domain]


def _roster(name: str, domains: dict[str, str], names: Sequence[str], rows: Sequence[Any]) -> RosterExamples:
    agents = [Agent(domain, domains[domain]) for domain in names]
    cases = [
        Case("single", (("user", row["text"]),), (row["domain"],) if row["domain"] in names else (), ordered=False)
        for row in rows
    ]
    return roster_of(name, agents, cases)


def _highest(rows: Sequence[Row]) -> Scores:
    return np.array([row.logits.max() for row in rows], dtype=np.float64)


def _top_line(title: str, rows: Sequence[Row], goal: str) -> Line:
    right = np.array([int(row.logits.argmax()) in row.example.needed for row in rows], dtype=np.float64)
    low, high = bootstrap(lambda mine, _: float(mine.mean()), right, right)
    return Line(title, len(right), float(right.mean()), low, high, goal)
