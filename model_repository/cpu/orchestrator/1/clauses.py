"""The clauses of a message and the order in which they are to run, from cue words. No weights.

Clauses are what the encoder looks at one by one; the cue words decide about order only, never about who is needed.
"""

# ruff: noqa: RUF001 - full-width punctuation is what users write
from __future__ import annotations

import re

MAX_CLAUSES = 10

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|[。！？；\n]+")
_AND = r"(?:and|but|&|\+|und|aber|et|mais|y|pero|e|och|oraz|en|maar|и|но)"
_THEN = r"(?:then|afterwards|dann|danach|puis|ensuite|luego|depois|poi|daarna|sedan|potem|potom|sonra|потом|затем)"
_AFTER = (
    r"(?:(?:but\s+)?(?:only\s+)?(?:after|once|as soon as)|only when|nachdem|sobald|erst wenn|après|dès que|después de|"
    r"s[oó]lo cuando|só depois de|depois de|dopo|nadat|efter att|после того как)"
)
_BEFORE = r"(?:before|prior to|bevor|ehe|avant d[e']|antes de|prima di|voordat|innan|zanim|прежде чем|перед тем как)"
# Where one wish ends and the next begins inside a sentence; group 1 says that what follows runs first.
_JOINT = re.compile(
    rf",?\s+(?:{_AND}\s+)?(?:only\s+|pero\s+)?({_AFTER})\s+(?!that\b|this\b|which\b|it\b|it's\b)|"
    rf",?\s+{_AND}\s+(?:(?:then|also|only|dann|auch|puis|luego)\s+)*|,\s+|[，、]|\s+(?:{_BEFORE}|{_THEN})\s+",
    re.IGNORECASE,
)
_CONTINUES = re.compile(r"^,?\s*(?:and|und|et|y|e|och|oraz|en|и)\b", re.IGNORECASE)
_FIRST = re.compile(
    r"^\W*(?:(?:but|aber|mais|pero)\s+)?(?:first|zuerst|erst|zunächst|d'abord|primero|prima|eerst|först|najpierw|önce|"
    r"сначала|まず|先)\b|\bfirst\W*$",
    re.IGNORECASE,
)
_BEFORE_THAT = re.compile(
    r"^\W*(?:but\s+)?(?:before|prior to)\s+(?:that|this|it|you do|doing so|any of (?:it|that)|anything(?: else)?)\b|"
    r"^\W*(?:davor|vorher|avant cela|antes de eso|antes disso|prima di ciò)\b",
    re.IGNORECASE,
)
_BEFORE_START = re.compile(rf"^\W*{_BEFORE}\b", re.IGNORECASE)
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def split_clauses(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The clauses of a message (at most :data:`MAX_CLAUSES`), and the running rank of each, a permutation."""
    sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
    pieces = [piece for sentence in sentences for piece in _split_sentence(sentence)]
    if len(pieces) > MAX_CLAUSES:
        whole = [(sentence, False, True) for sentence in sentences]
        pieces = [*whole[: MAX_CLAUSES // 2], *whole[MAX_CLAUSES // 2 :][-(MAX_CLAUSES - MAX_CLAUSES // 2) :]]
    pieces = pieces or [(text, False, True)]
    ranks = [0] * len(pieces)
    for rank, index in enumerate(_running_order(pieces)):
        ranks[index] = rank
    return tuple(clause for clause, _, _ in pieces), tuple(ranks)


def _split_sentence(sentence: str) -> list[tuple[str, bool, bool]]:
    """``(clause, runs before the one in front of it, begins a sentence)`` for each clause."""
    pieces: list[tuple[str, bool, bool]] = []
    start, earlier = 0, False
    for joint in _JOINT.finditer(sentence):
        clause = sentence[start : joint.start()].strip(" ,;:")
        if _is_scrap(clause) or _is_scrap(sentence[joint.end() :]):
            continue
        pieces.append((clause, earlier, start == 0))
        start = joint.end()
        earlier = joint.group(1) is not None and not _CONTINUES.match(joint.group())
    return [*pieces, (sentence[start:].strip(" ,;:"), earlier, start == 0)]


def _running_order(pieces: list[tuple[str, bool, bool]]) -> list[int]:
    order: list[int] = []
    waiting: list[int] = []
    for index, (clause, earlier, begins) in enumerate(pieces):
        if _BEFORE_THAT.match(clause) or (earlier and order):
            order.insert(max(0, len(order) - 1), index)
        elif _FIRST.search(clause):
            order.insert(0, index)
        elif begins and _BEFORE_START.match(clause) and index + 1 < len(pieces):
            waiting.append(index)
            continue
        else:
            order.append(index)
        order += waiting
        waiting = []
    return order + waiting


def _is_scrap(text: str) -> bool:
    """Too little to be a wish of its own; a wide letter says as much as three others."""
    words = len(text.split())
    return (words < 2 and len(text) + 2 * len(_WIDE.findall(text)) < 12) or (
        words < 5 and bool(_BEFORE_THAT.match(text))
    )
