"""Public intent and tool sets recast as rosters: some agents of one source, a few requests for each, some for nobody.

An agent is one intent or tool, or several of them under one description, as a list or in sentences: of one topic of
HWU64, of the intents of BANKING77 that share a word, of some tools. SGD is share-alike (CC BY-SA 4.0) and stays out;
CLINC150 is held out for evaluation and stays out too.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from pathlib import Path

from corpus import Agent, Case
from household_topics import TOPICS
from roster_examples import RosterExamples, join_cases, roster_of

SOURCES = ("banking77", "hwu64", "metatool", "sealtools")
BROAD_SOURCES = ("hwu64", "hwu64", "banking77", "metatool")
FEW_WORDS = 12

# What an agent holds, and the intents or tools that it is made of.
Group = tuple[str, list[str], list[str]]


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
        """Half of the rosters have an agent for each intent, half have broader ones."""
        if rng.random() < 0.5:
            source = rng.choice(BROAD_SOURCES)
            groups = self._broad(source, rng)
        else:
            source = rng.choice(SOURCES)
            names = rng.sample(sorted(self._texts[source]), 15)
            groups = [(name, [rng.choice(self._described[source][name])], [name]) for name in names]
        count = min(rng.randint(3, 12), len(groups) - 3)
        present, absent = groups[:count], groups[count:]
        agents = [Agent(name, _wording(name, holds, rng)) for name, holds, _ in present]
        asked = rng.sample(present, min(6, count))
        cases = [self._case(source, intents, (name,), rng) for name, _, intents in asked]
        cases += [join_cases(*rng.sample(cases, 2), rng) for _ in range(2)]
        cases += [self._case(source, intents, (), rng) for _, _, intents in rng.sample(absent, 2)]
        other = rng.choice([name for name in SOURCES if name != source])
        cases.append(self._case(other, sorted(self._texts[other]), (), rng))
        return roster_of(source, agents, cases)

    def _case(self, source: str, intents: list[str], needed: tuple[str, ...], rng: random.Random) -> Case:
        text = rng.choice(self._texts[source][rng.choice(intents)])
        return Case("single" if needed else "none", (("user", text),), needed, ordered=False)

    def _broad(self, source: str, rng: random.Random) -> list[Group]:
        if source == "hwu64":
            groups = [
                (rng.choice(titles), rng.sample(list(holds.values()), len(holds)), list(holds))
                for titles, holds in TOPICS.values()
            ]
        elif source == "banking77":
            groups = self._by_word(rng)
        else:
            tools = [name for name in self._texts[source] if len(self._described[source][name][0].split()) <= FEW_WORDS]
            rng.shuffle(tools)
            groups = [
                (" ".join(names), [self._described[source][name][0].rstrip(".") for name in names], names)
                for names in (tools[start : start + 3] for start in range(0, 45, 3))
            ]
        rng.shuffle(groups)
        return groups

    def _by_word(self, rng: random.Random) -> list[Group]:
        """Intents that share a word and belong to no group yet, five at most in a group."""
        left, groups = set(self._texts["banking77"]), []
        words = sorted({word for name in left for word in name.lower().split("_") if len(word) > 3})
        for word in rng.sample(words, len(words)):
            names = sorted(name for name in left if word in name.lower().split("_"))
            names = rng.sample(names, min(5, len(names)))
            if len(names) > 1:
                left -= set(names)
                groups.append((word, [name.replace("_", " ") for name in names], names))
        return groups


def _wording(name: str, holds: list[str], rng: random.Random) -> str:
    """A description out of what an agent holds: a list, a list with an introduction, lines or sentences."""
    if len(holds) == 1:
        return holds[0]
    listed = f"{', '.join(holds[:-1])} and {holds[-1]}"
    return rng.choice(
        [
            f"{listed}.", f"{name}: {listed}.", f"Handles {', '.join(holds)}.", "; ".join(holds),
            f"Takes care of {', '.join(holds[:-1])}, and {holds[-1]}", "\n".join(f"- {one}" for one in holds),
            " ".join(f"{one[:1].upper()}{one[1:]}." for one in holds),
        ]
    )  # fmt: skip
