from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstream.latency import Latency, Samples
from tests.upstream.scripted import Clock


def measured(*durations: float, model: str = "m") -> tuple[Latency, Clock]:
    clock = Clock()
    latency = Latency(clock)
    for seconds in durations:
        latency.stream_began(model, seconds, clock.now)
    return latency, clock


def test_the_measured_latency_is_the_median_time_to_the_first_event() -> None:
    latency, _ = measured(0.9, 0.1, 0.2, 0.3, 5.0)
    assert latency.measured_latency("m") == 0.3
    assert latency.measured_latency("other") is None


def test_too_few_samples_are_no_measurement() -> None:
    latency, _ = measured(0.1, 0.1, 0.1, 0.1)
    assert latency.measured_latency("m") is None


def test_without_streams_it_is_the_time_of_whole_answers() -> None:
    latency, clock = measured()
    for _ in range(5):
        latency.answered_whole("m", 2.0, clock.now)
    assert latency.measured_latency("m") == 2.0
    for _ in range(5):
        latency.stream_began("m", 0.25, clock.now)
    assert latency.measured_latency("m") == 0.25


def test_old_measurements_are_none() -> None:
    latency, clock = measured(*[0.1] * 30)
    clock.now += 900
    assert latency.measured_latency("m") == 0.1
    clock.now += 0.1
    assert latency.measured_latency("m") is None
    assert latency.first_byte_p95("m") is None


def test_only_the_newest_samples_count() -> None:
    latency, _ = measured(*[9.0] * 500, *[0.1] * 128)
    assert latency.first_byte_p95("m") == 0.1


def test_the_p95_is_what_95_of_100_do_not_exceed() -> None:
    latency, _ = measured(*[number / 100 for number in range(100, 0, -1)])
    assert latency.first_byte_p95("m") == 0.95
    few, _ = measured(*[0.1] * 19)
    assert few.first_byte_p95("m") is None


def test_a_stream_that_was_given_up_counts_when_it_had_taken_long() -> None:
    latency, clock = measured(*[0.1] * 20)
    latency.stream_given_up("m", 0.05, clock.now)
    latency.stream_given_up("other", 9.0, clock.now)
    assert (latency.first_byte_p95("m"), latency.first_byte_p95("other")) == (0.1, None)
    for _ in range(2):
        latency.stream_given_up("m", 4.0, clock.now)
    assert latency.first_byte_p95("m") == 4.0


def test_the_pace_is_per_output_token() -> None:
    latency, clock = measured()
    for tokens in (10, 20, 100, 50, 40):
        latency.generated("m", tokens, tokens * 0.02, clock.now)
    latency.generated("m", 1, 60.0, clock.now)  # too short an answer to tell
    assert latency.seconds_per_token("m") == pytest.approx(0.02)
    assert latency.seconds_per_token("other") is None


def test_the_number_of_models_is_bounded() -> None:
    latency, clock = measured()
    for number in range(200):
        for _ in range(5):
            latency.stream_began(f"m{number}", 0.1, clock.now)
    known = [number for number in range(200) if latency.measured_latency(f"m{number}") is not None]
    assert known == list(range(136, 200))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.floats(0.01, 1))
def test_quantiles_are_samples_with_that_share_below_or_equal(values: list[float], q: float) -> None:
    samples = Samples()
    for value in values:
        samples.add(value, 0.0)
    kept = values[-128:]
    found = samples.quantile(q, 0.0, at_least=1)
    assert found in kept
    assert sum(value <= found for value in kept) >= q * len(kept) - 1e-9
    assert sum(value < found for value in kept) < q * len(kept) + 1e-9
