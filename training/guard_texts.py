"""Texts for the jailbreak classifier: authored, public, injections placed into documents, ordinary requests.

An authored text is held out when all that it is made of (document, payload, source) is held out, trained on when none
of it is, and left out otherwise: a payload in two documents must not stand on both sides. The texts of this repository
(``data/guard/*.jsonl``) carry their split. A whole public source can be held out as well.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from corpus import each_case, held_out, read_text_rosters

LABELS = ("benign", "jailbreak", "injection")
PER_SOURCE = 2500
DOCUMENT_CHARS = 900
_JOINT = re.compile(r"\n+|(?<=[.!?]) ")


@dataclass(frozen=True)
class GuardText:
    text: str
    label: int
    source: str
    kind: str
    part: Literal["train", "heldout"]


def load_guard_texts(
    data: Path, shared: Path | None, *, held_source: str | None = None, seed: int = 0
) -> list[GuardText]:
    """All texts with their part; without ``shared``, those of this repository only.

    ``held_source`` names one more source to hold out.
    """
    rng = random.Random(seed)
    texts = list(_own(data / "guard"))
    if shared is not None:
        texts += [*_authored(shared / "guard"), *_public(shared / "guard", rng), *_documents(shared / "guard", rng)]
    texts += _requests(data / "routing", rng)
    return [
        GuardText(one.text, one.label, one.source, one.kind, "heldout") if one.source == held_source else one
        for one in texts
    ]


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _held(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % 3 == 0


def _own(folder: Path) -> Iterator[GuardText]:
    for path in sorted(folder.glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            yield GuardText(row["text"], LABELS.index(row["label"]), "own", row["kind"], row["split"])


def _authored(folder: Path) -> Iterator[GuardText]:
    for row in _rows(folder / "authored.jsonl.gz"):
        groups = row.get("groups") or {"id": row["id"]}
        keys = [
            f"{name}:{one}" for name, value in groups.items() for one in (value if isinstance(value, list) else [value])
        ]
        held = [_held(key) for key in keys or [row["id"]]]
        if all(held) or not any(held):
            part: Literal["train", "heldout"] = "heldout" if all(held) else "train"
            yield GuardText(row["text"], LABELS.index(row["label"]), "authored", row["kind"], part)


def _public(folder: Path, rng: random.Random) -> Iterator[GuardText]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in _rows(folder / "train.jsonl.gz"):
        if row["source"] != "bipia_train":
            found[row["source"], row["label"]].append(row["text"])
    for (source, label), texts in sorted(found.items()):
        rng.shuffle(texts)
        for text in texts[:PER_SOURCE]:
            yield GuardText(text, 1 if label == "attack" else 0, source, source, "train")


def _documents(folder: Path, rng: random.Random) -> Iterator[GuardText]:
    """BIPIA documents as they are, and with an instruction put between two of their lines.

    They are cut to about one window, so that a training step that sees some windows of a text sees the instruction.
    """
    attacks = [row["text"] for row in _rows(folder / "train.jsonl.gz") if row["source"] == "bipia_train"]
    for row in _rows(folder / "bipia_contexts.jsonl.gz"):
        body = row["context"] if isinstance(row["context"], str) else json.dumps(row["context"], ensure_ascii=False)
        yield GuardText(excerpt(body, DOCUMENT_CHARS, rng), 0, "bipia", "bipia_clean", "train")
        yield GuardText(inject(body, rng.choice(attacks), rng), 2, "bipia", "bipia_injected", "train")


def excerpt(text: str, length: int, rng: random.Random) -> str:
    start = rng.randint(0, max(0, len(text) - length))
    return text[start : start + length]


def inject(document: str, instruction: str, rng: random.Random) -> str:
    """An excerpt of ``document`` with ``instruction`` between two of its lines or sentences."""
    body = excerpt(document, max(100, DOCUMENT_CHARS - len(instruction)), rng)
    places = [joint.end() for joint in _JOINT.finditer(body)]
    place = rng.choice([0, len(body), *places, *places])
    before, after = body[:place], body[place:]
    glue = rng.choice(["\n", "\n", " ", "\n\n"])
    return f"{before.rstrip()}{glue}{instruction}{glue}{after.lstrip()}".strip()


def _requests(folder: Path, rng: random.Random) -> Iterator[GuardText]:
    """Newest turns of the routing corpus: what users of ordinary agents say."""
    pairs = list(each_case(read_text_rosters(folder)))
    rng.shuffle(pairs)
    for roster, case in pairs[:4000]:
        yield GuardText(case.turns[-1][1], 0, "requests", "requests", held_out(roster.id))
