from __future__ import annotations

import pytest

from router.signals.quality import EFFECTS, LEAST_SEVERITY, QUALITIES, SEVERITIES, quality, score, summarize
from router.signals.report import GROUP_OF, SIGNAL_GROUPS, SIGNAL_TYPES, GroupSummary

CORRECTION = "interaction.misalignment.correction"


def test_every_type_has_a_group_and_an_effect() -> None:
    assert set(EFFECTS) == set(GROUP_OF) == set(SIGNAL_TYPES)
    assert set(SEVERITIES) == set(SIGNAL_GROUPS) - {"interaction.satisfaction"}
    assert set(LEAST_SEVERITY) <= set(SIGNAL_TYPES)


def test_only_satisfaction_raises_the_score() -> None:
    assert all((effect > 0) == kind.startswith("interaction.satisfaction.") for kind, effect in EFFECTS.items())


def test_a_conversation_without_signals_is_neutral() -> None:
    assert (score({}), quality(score({}))) == (50.0, "neutral")


def test_confidence_weighs_and_a_type_counts_so_often() -> None:
    assert score({CORRECTION: 0.8}) == 46.0
    assert score({CORRECTION: 100.0}) == 25.0
    assert score(dict.fromkeys(EFFECTS, 100.0)) >= 0.0
    assert score({kind: 100.0 for kind, effect in EFFECTS.items() if effect > 0}) == 100.0


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (100.0, "excellent"),
        (70.0, "excellent"),
        (69.9, "good"),
        (57.9, "neutral"),
        (41.9, "poor"),
        (24.9, "severe"),
        (0.0, "severe"),
    ],
)
def test_qualities(value: float, name: str) -> None:
    assert quality(value) == name


def test_qualities_are_in_order() -> None:
    least = [value for value, _ in QUALITIES]
    assert least == sorted(least, reverse=True)


@pytest.mark.parametrize(("count", "severity"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 3), (50, 3)])
def test_severity_grows_with_the_count(count: int, severity: int) -> None:
    assert summarize({CORRECTION: count})["interaction.misalignment"] == GroupSummary(count, severity)


def test_somebody_who_gives_up_is_serious_at_once() -> None:
    groups = summarize({"interaction.disengagement.quit": 1, "interaction.satisfaction.gratitude": 9})
    assert groups["interaction.disengagement"] == GroupSummary(1, 2)
    assert groups["interaction.satisfaction"] == GroupSummary(9, 0)
    assert list(groups) == list(SIGNAL_GROUPS)
