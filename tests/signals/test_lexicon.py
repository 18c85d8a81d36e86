from __future__ import annotations

from importlib import resources

import pytest
import yaml

from router.signals.lexicon import build_lexicon, lexicon
from router.signals.report import SIGNAL_TYPES

LANGUAGES = ("de", "en", "es", "fr")
KINDS = {
    "types": {"interaction.disengagement.quit": {"confidence": 0.8}},
    "prototypes": {"neutral": ["Hello."]},
}


def test_every_language_has_phrases_for_every_type_that_is_said() -> None:
    folder = resources.files("router.signals") / "data" / "languages"
    files = {file.name: file for file in folder.iterdir() if file.name.endswith(".yaml")}
    assert sorted(files) == [f"{name}.yaml" for name in LANGUAGES]
    said = {wording.type for wording in lexicon().wordings}
    for file in files.values():
        lists = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
        assert set(lists["types"]) == said


def test_no_expression_matches_the_empty_text() -> None:
    words = lexicon()
    for wording in words.wordings:
        for pattern in (*wording.places.values(), wording.exceptions):
            assert pattern is None or pattern.search("") is None
    assert [name for name, pattern in words.guards.items() if pattern.search("") is not None] == []


def test_types_and_prototypes_are_those_that_are_reported() -> None:
    words = lexicon()
    assert {wording.type for wording in words.wordings} <= set(SIGNAL_TYPES)
    assert set(words.prototypes) - {None} <= {wording.type for wording in words.wordings}
    assert all(0 < wording.confidence <= 1 for wording in words.wordings)


@pytest.mark.parametrize(
    ("phrase", "text", "matches"),
    [
        ("leave (this|it)( now)?", "leave it now", True),
        ("leave (this|it)( now)?", "leave that", False),
        ("stop * please", "stop all of this please", True),
        ("stop * please", "stop a b c d please", False),
        ("i'm out", "i am out", True),
        ("{way} out", "no way out", True),
        ("well bye", "well , bye", True),
        ("out$", "out of milk", False),
    ],
)
def test_how_phrases_are_written(phrase: str, text: str, matches: bool) -> None:
    language = {
        "lists": {"way": "(no|one) way"},
        "fillers": ["so"],
        "guards": {name: ["xyzzy"] for name in lexicon().guards},
        "types": {"interaction.disengagement.quit": {"anywhere": [phrase]}},
    }
    [wording] = build_lexicon(KINDS, [language]).wordings
    assert (wording.places["anywhere"].search(text) is not None) is matches
