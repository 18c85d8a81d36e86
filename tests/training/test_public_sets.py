"""Public sets as rosters: each request is for the agent that holds its intent, or for nobody."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from household_topics import TOPICS
from public_sets import SOURCES, PublicRosters

WORDS = ("card", "cash", "loan", "transfer", "account", "cheque", "branch", "mortgage", "savings")
INTENTS = {
    "hwu64": [intent for _, holds in TOPICS.values() for intent in holds],
    "banking77": [f"{word}_no_{number}" for word in WORDS for number in range(4)],
    "metatool": [f"tool{number}" for number in range(48)],
    "sealtools": [f"call{number}" for number in range(20)],
}


@pytest.fixture
def public(tmp_path: Path) -> PublicRosters:
    """Every text names the one intent that it is of."""
    described = {source: {name: [f"does {name}"] for name in INTENTS[source]} for source in SOURCES}
    with gzip.open(tmp_path / "train_agents.json.gz", "wt", encoding="utf-8") as file:
        json.dump(described, file)
    with gzip.open(tmp_path / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        for source in SOURCES:
            for name in INTENTS[source]:
                file.write(json.dumps({"text": f"please {name}", "agents": [name], "source": source}) + "\n")
    return PublicRosters(tmp_path)


def holds(intent: str, description: str) -> bool:
    words = {intent: said for _, topic in TOPICS.values() for intent, said in topic.items()}
    said = {f"does {intent}", intent.replace("_", " "), words.get(intent, f"does {intent}")}
    return any(one.lower() in description.lower() for one in said)


def test_a_request_is_for_the_agent_that_holds_its_intent(public: PublicRosters) -> None:
    broad = 0
    for seed in range(60):
        roster = public.draw(random.Random(seed))
        assert 3 <= len(roster.agents) <= 12
        broad += any("," in text or ";" in text for _, text in roster.agents)
        for example in roster.examples:
            if example.kind == "single":
                intent = example.question.newest.removeprefix("please ")
                assert holds(intent, roster.agents[example.needed[0]][1])
    assert broad > 10


def test_requests_for_absent_agents_and_of_other_sources_are_nobodys(public: PublicRosters) -> None:
    roster = public.draw(random.Random(4))
    nobodys = [example for example in roster.examples if example.kind == "none"]
    assert len(nobodys) == 3
    assert not any(example.needed for example in nobodys)
    for example in nobodys:
        name = example.question.newest.removeprefix("please ")
        assert not any(f"does {name}" == text for _, text in roster.agents)


def test_every_topic_names_intents_once() -> None:
    assert len(INTENTS["hwu64"]) == len(set(INTENTS["hwu64"]))
