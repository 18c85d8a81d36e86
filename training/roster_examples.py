"""Training examples: rosters cut into the texts that are encoded, their splits, and what augmentation may change."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from corpus import Agent, Case, Roster, held_out, read_json_rosters, read_text_rosters
from serving import roster_features

Part = Literal["train", "calibration", "heldout"]


@dataclass(frozen=True)
class Example:
    """One conversation against one roster: ``needed`` are positions in the roster, in running order."""

    kind: str
    question: Any
    needed: tuple[int, ...]
    ordered: bool


@dataclass(frozen=True)
class RosterExamples:
    """A roster and its conversations. ``agents`` are name and description, as they reach the model."""

    id: str
    agents: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]


def part_of(roster: Roster) -> Part:
    """Whole rosters go to one part, by the hash of their id, so that adding rosters moves none."""
    if roster.split == "heldout" or held_out(roster.id) == "heldout":
        return "heldout"
    return "calibration" if hashlib.sha256(roster.id.encode()).digest()[1] % 8 == 0 else "train"


def load_authored(text_folder: Path, json_folder: Path | None) -> dict[Part, list[RosterExamples]]:
    """The authored corpus by part; ``json_folder`` holds the JSON pair of the shared data, if there is one."""
    rosters = read_text_rosters(text_folder)
    if json_folder is not None:
        rosters = read_json_rosters(json_folder) + rosters
    parts: dict[Part, list[RosterExamples]] = {"train": [], "calibration": [], "heldout": []}
    for roster in rosters:
        parts[part_of(roster)].append(cut(roster))
    return parts


def cut(roster: Roster) -> RosterExamples:
    """The roster as the model sees it."""
    places = {agent.name: place for place, agent in enumerate(roster.agents)}
    examples = tuple(
        Example(case.kind, question(case.turns), tuple(places[name] for name in case.expected), case.ordered)
        for case in roster.cases
    )
    return RosterExamples(roster.id, tuple((agent.name, agent.description) for agent in roster.agents), examples)


def question(turns: Sequence[tuple[str, str]]) -> Any:
    return roster_features.parse_conversation([{"role": role, "content": content} for role, content in turns])


@dataclass(frozen=True)
class Slice:
    """Some conversations of one roster, as one piece of a training step."""

    agents: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]


def sample_slice(roster: RosterExamples, size: int, rng: random.Random) -> Slice:
    """``size`` conversations of a roster, varied in what does not change who is needed.

    Agents without meaningful names, fewer unneeded agents, sentences of a description in another order; requests in
    lower case and without punctuation; two one-agent requests joined to one.
    """
    examples = [
        _varied(example, roster, rng) for example in rng.sample(roster.examples, min(size, len(roster.examples)))
    ]
    agents = [(name, _shuffled(text, rng)) for name, text in roster.agents]
    if rng.random() < 0.15:
        pattern = rng.choice(["agent_{}", "a{}", "node-{}", "Agent {}", "svc{}"])
        agents = [(pattern.format(place + 1), text) for place, (_, text) in enumerate(agents)]
    needed = {place for example in examples for place in example.needed}
    kept = [place for place in range(len(agents)) if place in needed or rng.random() > 0.15]
    if len(kept) < 2:
        kept = list(range(len(agents)))
    rng.shuffle(kept)
    at = {place: row for row, place in enumerate(kept)}
    moved = tuple(
        Example(example.kind, example.question, tuple(at[place] for place in example.needed), example.ordered)
        for example in examples
    )
    return Slice(tuple(agents[place] for place in kept), moved)


def _shuffled(description: str, rng: random.Random) -> str:
    sentences = description.split(". ")
    if len(sentences) < 3 or rng.random() > 0.2 or "\n" in description:
        return description
    sentences[-1] = sentences[-1].rstrip(".")
    rng.shuffle(sentences)
    return ". ".join(sentences) + "."


def _varied(example: Example, roster: RosterExamples, rng: random.Random) -> Example:
    chance = rng.random()
    if example.question.before is not None or chance > 0.2:
        return example
    if chance < 0.08:
        return Example(
            example.kind, question((("user", example.question.newest.lower().rstrip(" .?!")),)), example.needed,
            example.ordered,
        )  # fmt: skip
    other = rng.choice(roster.examples)
    plain = example.kind == other.kind == "single" and other.question.before is None
    if not plain or not example.needed or not other.needed or set(example.needed) & set(other.needed):
        return example
    left, right = (
        Case("single", (("user", one.question.newest),), tuple(map(str, one.needed)), ordered=False)
        for one in (example, other)
    )
    joined = join_cases(left, right, rng)
    return Example("multi", question(joined.turns), tuple(map(int, joined.expected)), joined.ordered)


def join_cases(first: Case, second: Case, rng: random.Random) -> Case:
    """One request out of two one-agent requests of one roster; the order is said in words half of the time."""
    left, right = first.turns[-1][1].rstrip(" .?!"), second.turns[-1][1]
    right = right[:1].lower() + right[1:]
    joined, ordered = rng.choice(
        [
            (f"{left}, and {right}", False), (f"{left}. Also, {right}", False), (f"{left} and then {right}", True),
            (f"First {left[:1].lower()}{left[1:]}, then {right}", True),
        ]
    )  # fmt: skip
    return Case("multi", (("user", joined),), (*first.expected, *second.expected), ordered)


def roster_of(source: str, agents: Sequence[Agent], cases: Sequence[Case]) -> RosterExamples:
    return cut(Roster(source, source, "train", tuple(agents), tuple(cases)))
