"""The authored routing corpus: rosters of agents and conversations with the agents they need, in running order.

Two sources in one form: text files (``data/routing/*.txt``, the format is described in README.md) and the JSON pair
``authored_rosters.json`` / ``authored_cases.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

KINDS = frozenset({"single", "multi", "multi_turn", "none", "near_miss", "long", "other_language"})
Split = Literal["train", "heldout"]
_CASE = re.compile(r"\[(\w+)\]\s+(.+)")


class CorpusError(ValueError):
    """A corpus file breaks the format; the message names file and place."""


@dataclass(frozen=True)
class Agent:
    name: str
    description: str


@dataclass(frozen=True)
class Case:
    """One conversation (``(role, content)`` turns, newest last) and the agents that it needs."""

    kind: str
    turns: tuple[tuple[str, str], ...]
    expected: tuple[str, ...]
    ordered: bool


@dataclass(frozen=True)
class Roster:
    id: str
    domain: str
    split: Split
    agents: tuple[Agent, ...]
    cases: tuple[Case, ...]


def parse_roster(text: str, source: str) -> Roster:
    """One roster file. Raises CorpusError for an unknown agent, kind or header, or a case without text."""
    head, rule, body = text.replace("\r\n", "\n").partition("\n---\n")
    if not rule:
        raise CorpusError(f"{source}: no --- line between agents and cases")
    header, *blocks = ("\n" + head).split("\n@ ")
    fields = dict(line.split(": ", 1) for line in header.strip().splitlines() if ": " in line)
    if not {"id", "domain", "split"} <= set(fields) or fields["split"] not in {"train", "heldout"}:
        raise CorpusError(f"{source}: the header needs id, domain, style and split: train or heldout")
    agents = tuple(_parse_agent(block, source) for block in blocks)
    names = {agent.name for agent in agents}
    if not agents or len(names) != len(agents):
        raise CorpusError(f"{source}: no agents, or a name twice")
    cases = tuple(_parse_case(block, names, source) for block in re.split(r"\n\s*\n", body.strip()) if block.strip())
    split: Split = "heldout" if fields["split"] == "heldout" else "train"
    return Roster(fields["id"], fields["domain"], split, agents, cases)


def _parse_agent(block: str, source: str) -> Agent:
    name, _, description = block.partition("\n")
    if not description.strip():
        raise CorpusError(f"{source}: agent {name.strip()!r} has no description")
    return Agent(name.strip(), description.strip())


def _parse_case(block: str, names: set[str], source: str) -> Case:
    first, *lines = block.strip().splitlines()
    match = _CASE.fullmatch(first.strip())
    if match is None or match[1] not in KINDS or not lines:
        raise CorpusError(f"{source}: not a case: {first[:80]!r}")
    wanted = match[2].strip()
    expected = () if wanted == "-" else tuple(part.strip() for part in re.split(r"\s[>+]\s", wanted))
    unknown = set(expected) - names
    if unknown:
        raise CorpusError(f"{source}: unknown agents {sorted(unknown)} in {first[:80]!r}")
    return Case(match[1], _parse_turns(lines, first, source), expected, " > " in wanted)


def _parse_turns(lines: list[str], first: str, source: str) -> tuple[tuple[str, str], ...]:
    if not any(line.startswith(("U: ", "A: ")) for line in lines):
        return (("user", "\n".join(lines).strip()),)
    turns: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(("U: ", "A: ")):
            turns.append(("user" if line[0] == "U" else "assistant", line[3:].strip()))
        elif turns:
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n{line.strip()}")
        else:
            raise CorpusError(f"{source}: text before the first turn in {first[:80]!r}")
    if turns[-1][0] != "user":
        raise CorpusError(f"{source}: the last turn is not the user's in {first[:80]!r}")
    return tuple(turns)


def read_text_rosters(folder: Path) -> list[Roster]:
    """All ``*.txt`` rosters of a folder, by name; a file that breaks the format raises CorpusError."""
    return [parse_roster(path.read_text(encoding="utf-8"), path.name) for path in sorted(folder.glob("*.txt"))]


def read_json_rosters(folder: Path) -> list[Roster]:
    """The JSON pair of the shared data; the split is drawn from the roster id, one in five held out."""
    cases: dict[str, list[Case]] = {}
    with gzip.open(folder / "authored_cases.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            turns = tuple((turn["role"], turn["content"]) for turn in row["messages"])
            case = Case(row["kind"], turns, tuple(row["expected"]), row["order_matters"])
            cases.setdefault(row["roster"], []).append(case)
    rosters = json.loads((folder / "authored_rosters.json").read_text(encoding="utf-8"))
    return [
        Roster(row["id"], row["domain"], held_out(row["id"]), _agents(row), tuple(cases.get(row["id"], ())))
        for row in rosters
    ]


def _agents(row: dict[str, Any]) -> tuple[Agent, ...]:
    return tuple(Agent(agent["name"], agent["description"]) for agent in row["agents"])


def held_out(roster_id: str) -> Split:
    """Stable across runs and additions: one roster in five, by the hash of its id."""
    return "heldout" if hashlib.sha256(roster_id.encode()).digest()[0] % 5 == 0 else "train"


def count_cases(rosters: Iterable[Roster]) -> int:
    return sum(len(roster.cases) for roster in rosters)


def each_case(rosters: Iterable[Roster]) -> Iterator[tuple[Roster, Case]]:
    for roster in rosters:
        for case in roster.cases:
            yield roster, case
