"""Dialogues as rosters: a follow-up goes on with its service, a switch leaves it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from dialogue_report import EACH, ROSTERS, SERVICES, SOURCE, dialogue_rosters, turns_of

NAMES = [f"Domain{letter}_{number}" for letter in "ABCDEFGHIJ" for number in (1, 2)]


def shared(folder: Path) -> Path:
    with gzip.open(folder / "train_agents.json.gz", "wt", encoding="utf-8") as file:
        json.dump({SOURCE: {name: [f"does {name}"] for name in NAMES}}, file)
    with gzip.open(folder / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        for name in NAMES:
            for text in (f"I want {name}", f"user: I want {name} assistant: when? user: tomorrow {name}",
                         f"user: I want {name} assistant: done user: thanks"):  # fmt: skip
                file.write(json.dumps({"text": text, "agents": [name], "source": SOURCE}) + "\n")
    return folder


def test_turns_are_told_by_their_speakers() -> None:
    assert turns_of("user: one assistant: two: three user: four") == (
        ("user", "one"), ("assistant", "two: three"), ("user", "four")
    )  # fmt: skip
    assert turns_of("book a table") == (("user", "book a table"),)


def test_follow_ups_stay_and_switches_leave(tmp_path: Path) -> None:
    rosters = dialogue_rosters(shared(tmp_path))
    assert len(rosters) == ROSTERS
    for roster in rosters:
        assert len({name.split("_")[0] for name, _ in roster.agents}) == SERVICES
        assert len(roster.examples) == 2 * EACH * SERVICES
        for example in roster.examples:
            [place] = example.needed
            name = roster.agents[place][0]
            assert "thanks" not in example.question.newest
            assert name in example.question.newest
            assert (name in str(example.question.before)) is (example.kind == "follow_up")
