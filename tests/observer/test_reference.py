"""docs/observability.md says what is exported, all of it, and nothing else."""

from __future__ import annotations

import re

from router.signals.report import SIGNAL_TYPES
from router.telemetry import semconv
from tests.observer.metric_table import DOCUMENT, with_table


def test_the_table_of_metrics_is_that_of_the_catalogue() -> None:
    document = DOCUMENT.read_text()
    assert document == with_table(document), "run: python -m tests.observer.metric_table"


def test_every_attribute_that_the_reference_names_is_one_that_is_emitted() -> None:
    emitted = {value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
    named = set(re.findall(r"`((?:gen_ai|trident|http|rpc|error)\.[a-z0-9_.]+)`", DOCUMENT.read_text()))
    assert named - emitted == set()


def test_every_kind_of_signal_is_counted_under_its_documented_name() -> None:
    document = DOCUMENT.read_text()
    assert [kind for kind in SIGNAL_TYPES if kind.rpartition(".")[2] not in document] == []
