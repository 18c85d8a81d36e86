"""Clauses and their running order."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_backend import REPOSITORY


def _load() -> ModuleType:
    path = REPOSITORY / "cpu" / "orchestrator" / "1" / "clauses.py"
    spec = importlib.util.spec_from_file_location("orchestrator_clauses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clauses = _load()


@pytest.mark.parametrize(
    ("text", "running"),
    [
        ("Find a flight and check the weather there", ["Find a flight", "check the weather there"]),
        ("Before you quote a price, check the stock", ["check the stock", "Before you quote a price"]),
        ("Quote a price, but only after you checked the stock", ["you checked the stock", "Quote a price"]),
        ("Book the room after you have asked the price", ["you have asked the price", "Book the room"]),
        ("Once you have found a flight, check the weather", ["Once you have found a flight", "check the weather"]),
        ("Buy a ticket, but first check the date", ["first check the date", "Buy a ticket"]),
        ("Show the spend, but before you do, mend the tags", ["before you do, mend the tags", "Show the spend"]),
        ("Copy the input, and once it's there start the run", ["Copy the input", "once it's there start the run"]),
        ("Look it up. After that send me the list", ["Look it up.", "After that send me the list"]),
        ("Bevor du das Angebot schickst, prüf den Bestand", ["prüf den Bestand", "Bevor du das Angebot schickst"]),
        ("Vérifie le stock, puis envoie le devis", ["Vérifie le stock", "puis envoie le devis"]),
        ("まずミルクを記録して、それから予定を立てて", ["まずミルクを記録して", "それから予定を立てて"]),
    ],
)
def test_cue_words_set_the_running_order(text: str, running: list[str]) -> None:
    found, ranks = clauses.split_clauses(text)
    assert [clause for _, clause in sorted(zip(ranks, found, strict=True))] == running


@pytest.mark.parametrize("text", ["rock and roll", "What's the weather in Oslo?", "", "salt, pepper"])
def test_one_wish_stays_one_clause(text: str) -> None:
    assert clauses.split_clauses(text) == ((text,), (0,))


@given(st.text(max_size=300))
def test_ranks_are_a_permutation_and_clauses_are_bounded(text: str) -> None:
    found, ranks = clauses.split_clauses(text)
    assert 1 <= len(found) <= clauses.MAX_CLAUSES
    assert sorted(ranks) == list(range(len(found)))


def test_a_long_letter_keeps_its_beginning_and_its_end() -> None:
    letter = " ".join(f"Sentence number {number} is here." for number in range(40))
    found, _ = clauses.split_clauses(letter)
    assert found[0] == "Sentence number 0 is here."
    assert found[-1] == "Sentence number 39 is here."
