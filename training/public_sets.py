"""Public intent and tool sets recast as rosters: some agents of one source, a few requests for each, some for nobody.

SGD is share-alike (CC BY-SA 4.0) and stays out; CLINC150 is held out for evaluation and stays out too.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from pathlib import Path

from corpus import Agent, Case
from roster_examples import RosterExamples, join_cases, roster_of

SOURCES = ("banking77", "hwu64", "metatool", "sealtools")


class PublicRosters:
    """Draws rosters; the same random state draws the same roster."""

    def __init__(self, folder: Path) -> None:
        with gzip.open(folder / "train_agents.json.gz", "rt", encoding="utf-8") as file:
            described = json.load(file)
        self._described = {source: described[source] for source in SOURCES}
        self._texts: dict[str, dict[str, list[str]]] = {source: defaultdict(list) for source in SOURCES}
        with gzip.open(folder / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                known = row["source"] in SOURCES and len(row["agents"]) == 1
                if known and row["agents"][0] in self._described[row["source"]]:
                    self._texts[row["source"]][row["agents"][0]].append(row["text"])

    def draw(self, rng: random.Random) -> RosterExamples:
        source = rng.choice(SOURCES)
        texts = self._texts[source]
        names = rng.sample(sorted(texts), rng.randint(5, 13))
        absent, present = names[:2], names[2:]
        agents = [Agent(name, rng.choice(self._described[source][name])) for name in present]
        cases = [
            Case("single", (("user", rng.choice(texts[name])),), (name,), ordered=False)
            for name in rng.sample(present, min(6, len(present)))
        ]
        cases += [join_cases(*rng.sample(cases, 2), rng) for _ in range(2)]
        cases += [Case("none", (("user", rng.choice(texts[name])),), (), ordered=False) for name in absent[:1]]
        return roster_of(source, agents, cases)
