"""The corpus format: what a roster file says, and which mistakes are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from corpus import Agent, Case, CorpusError, each_case, held_out, parse_roster, read_json_rosters, read_text_rosters

CORPUS = Path(__file__).resolve().parents[2] / "training" / "data" / "routing"
ROSTER = """id: night-pharmacy
domain: night desk of a pharmacy
style: one-liners
split: train

@ dose checker
Checks doses.
Does not judge interactions.

@ watch.dog
Looks for interactions.

---

[single] dose checker
is 40 mg ok
for 38 kg

[multi] dose checker > watch.dog
First the dose, then the rest.

[multi] watch.dog + dose checker
Dose all right? And the warfarin?

[multi_turn] watch.dog
U: Is 500 mg fine?
A: Yes.
It is the usual dose.
U: and with juice?

[none] -
lol
"""


def test_a_roster_is_read() -> None:
    roster = parse_roster(ROSTER, "night-pharmacy.txt")
    assert (roster.id, roster.domain, roster.split) == ("night-pharmacy", "night desk of a pharmacy", "train")
    assert roster.agents == (
        Agent("dose checker", "Checks doses.\nDoes not judge interactions."),
        Agent("watch.dog", "Looks for interactions."),
    )
    single, ordered, unordered, turns, nobody = roster.cases
    assert single == Case("single", (("user", "is 40 mg ok\nfor 38 kg"),), ("dose checker",), ordered=False)
    assert (ordered.expected, ordered.ordered) == (("dose checker", "watch.dog"), True)
    assert (unordered.expected, unordered.ordered) == (("watch.dog", "dose checker"), False)
    assert turns.turns == (
        ("user", "Is 500 mg fine?"), ("assistant", "Yes.\nIt is the usual dose."), ("user", "and with juice?")
    )  # fmt: skip
    assert nobody.expected == ()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\n---\n", "\n", "no --- line"),
        ("split: train", "split: dev", "header"),
        ("[none] -", "[none] somebody", "unknown agents"),
        ("[none] -", "[nothing] -", "not a case"),
        ("Looks for interactions.", "", "no description"),
        ("@ watch.dog", "@ dose checker", "a name twice"),
        ("U: and with juice?", "A: and with juice?", "not the user's"),
        ("U: Is 500 mg fine?", "Is 500 mg fine?", "before the first turn"),
    ],
)
def test_mistakes_are_named_with_their_file(old: str, new: str, complaint: str) -> None:
    with pytest.raises(CorpusError, match=complaint) as raised:
        parse_roster(ROSTER.replace(old, new), "night-pharmacy.txt")
    assert str(raised.value).startswith("night-pharmacy.txt: ")


def test_json_rosters_are_read(tmp_path: Path) -> None:
    rosters = [{"id": "r", "domain": "d", "agents": [{"name": "a", "description": "does a"}]}]
    case = {"roster": "r", "kind": "single", "messages": [{"role": "user", "content": "x"}], "expected": ["a"]}
    (tmp_path / "authored_rosters.json").write_text(json.dumps(rosters), encoding="utf-8")
    with gzip.open(tmp_path / "authored_cases.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({**case, "order_matters": False}))
    [roster] = read_json_rosters(tmp_path)
    assert roster.agents == (Agent("a", "does a"),)
    assert roster.cases == (Case("single", (("user", "x"),), ("a",), ordered=False),)


def test_the_split_is_stable_and_about_a_fifth() -> None:
    names = [f"roster-{number}" for number in range(1000)]
    parts = [held_out(name) for name in names]
    assert parts == [held_out(name) for name in names]
    assert 150 < parts.count("heldout") < 250


def test_the_corpus_itself_is_well_formed() -> None:
    rosters = read_text_rosters(CORPUS)
    assert rosters, "the authored corpus is part of the repository"
    assert len({roster.id for roster in rosters}) == len(rosters)
    assert {case.kind for _, case in each_case(rosters)} >= {"single", "multi", "multi_turn", "none", "near_miss"}
