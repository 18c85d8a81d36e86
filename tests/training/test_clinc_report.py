"""CLINC150 as rosters: whose a text is depends on who is in the roster."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import clinc_report
from clinc_report import JOINED, PER_DOMAIN, SMALL, SMALL_ROSTERS, clinc_rosters, joined_roster

DOMAINS = {f"domain{number}": f"Answers questions about thing {number}." for number in range(10)}


def clinc(folder: Path) -> Path:
    (folder / "clinc_agents.json").write_text(json.dumps({"domains": DOMAINS}), encoding="utf-8")
    rows = [
        {"text": f"{split} {domain} {number}", "domain": domain, "split": split}
        for domain in (*DOMAINS, None)
        for number in range(clinc_report.OUT_OF_SCOPE)
        for split in ("train", "test")
    ]
    with gzip.open(folder / "clinc150.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_texts_of_absent_domains_are_nobodys(tmp_path: Path) -> None:
    whole, *small = clinc_rosters(clinc(tmp_path))
    assert len(whole.examples) == PER_DOMAIN * len(DOMAINS)
    assert all(len(example.needed) == 1 for example in whole.examples)
    assert len(small) == SMALL_ROSTERS
    for roster in small:
        assert len(roster.agents) == SMALL
        for example in roster.examples:
            split, domain, _ = example.question.newest.split(" ")
            assert split == "test"
            assert [roster.agents[place][0] for place in example.needed] == [
                name for name, _ in roster.agents if name == domain
            ]


def test_the_same_rosters_are_drawn_every_time(tmp_path: Path) -> None:
    folder = clinc(tmp_path)
    assert clinc_rosters(folder) == clinc_rosters(folder)


def test_joined_requests_need_the_domains_of_both_texts(tmp_path: Path) -> None:
    roster = joined_roster(clinc(tmp_path))
    assert len(roster.examples) == JOINED
    for example in roster.examples:
        said = example.question.newest.split(" ")
        assert [roster.agents[place][0] for place in example.needed] == [word for word in said if word in DOMAINS]
        assert len(example.needed) == 2
