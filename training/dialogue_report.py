"""Dialogues of Schema-Guided Dialogue with its services as agents: share-alike data that no embedded model learns from.

A follow-up is a turn that goes on with a service; a switch is a plain request to another service, put after such a
dialogue. The services of a roster are of different domains.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from corpus import Agent, Case
from decisions import compute_rows, interval
from embed import ServedOrchestrator
from quality_table import Line
from roster_examples import RosterExamples, roster_of

SOURCE = "sgd_service"
ROSTERS = 20
SERVICES = 8
EACH = 3

Turns = tuple[tuple[str, str], ...]

_SPEAKER = re.compile(r"(?:^|\s)(user|assistant): ")
_FAREWELL = re.compile(r"\b(?:thanks?|bye|that'?s (?:all|it)|good ?night)\b", re.IGNORECASE)


def dialogue_rosters(folder: Path, seed: int = 0) -> list[RosterExamples]:
    """Each with :data:`EACH` follow-ups (kind ``follow_up``) and switches (``switch``) for each of its services."""
    with gzip.open(folder / "train_agents.json.gz", "rt", encoding="utf-8") as file:
        described: dict[str, list[str]] = json.load(file)[SOURCE]
    first, later = _read(folder / "train.jsonl.gz")
    domains: dict[str, list[str]] = defaultdict(list)
    for service in sorted(set(first) & set(later)):
        domains[service.split("_")[0]].append(service)
    rng = random.Random(seed)
    rosters = []
    for number in range(ROSTERS):
        names = [rng.choice(domains[domain]) for domain in rng.sample(sorted(domains), min(SERVICES, len(domains)))]
        agents = [Agent(name, rng.choice(described[name])) for name in names]
        cases = []
        for place, name in enumerate(names):
            other = names[place - 1]
            for _ in range(EACH):
                cases.append(Case("follow_up", rng.choice(later[name]), (name,), ordered=False))
                turns = (*rng.choice(later[other])[:-1], *rng.choice(first[name]))
                cases.append(Case("switch", turns, (name,), ordered=False))
        rosters.append(roster_of(f"dialogues-{number}", agents, cases))
    return rosters


def dialogue_lines(folder: Path, model: ServedOrchestrator) -> list[Line]:
    rows = compute_rows(dialogue_rosters(folder), model)
    lines = []
    for kind, title, goal in (("switch", "switches", "0.93"), ("follow_up", "follow-ups", "0.95")):
        chosen = [row for row in rows if row.example.kind == kind]
        right = [int(row.logits.argmax()) in row.example.needed for row in chosen]
        spread = interval([row.roster for row in chosen], right)
        lines.append(Line(f"dialogues (SGD), {title}: top-1", len(right), float(np.mean(right)), *spread, goal))
    return lines


def turns_of(text: str) -> Turns:
    """``user: a assistant: b user: c`` as turns; a text without speakers is one user turn."""
    if not text.startswith("user: "):
        return (("user", text),)
    parts = _SPEAKER.split(text)[1:]
    return tuple(zip(parts[::2], parts[1::2], strict=True))


def _read(path: Path) -> tuple[Mapping[str, Sequence[Turns]], Mapping[str, Sequence[Turns]]]:
    """Opening requests and follow-ups of each service; farewells are nobody's and left out."""
    first: dict[str, list[Turns]] = defaultdict(list)
    later: dict[str, list[Turns]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["source"] != SOURCE or len(row["agents"]) != 1:
                continue
            turns = turns_of(row["text"])
            if not _FAREWELL.search(turns[-1][1]):
                (first if len(turns) == 1 else later)[row["agents"][0]].append(turns)
    return first, later
