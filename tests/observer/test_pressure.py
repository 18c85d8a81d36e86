from __future__ import annotations

from router.observer.pressure import Pressure


def _rests(pressure: Pressure, cpu_s: float, wall_s: float, pieces: int) -> list[float]:
    judged = [pressure.worked(cpu_s, wall_s) for _ in range(pieces)]
    return [rest_s for rest_s in judged if rest_s is not None]


def test_who_gets_the_core_when_it_is_wanted_need_not_rest() -> None:
    assert _rests(Pressure(), 0.001, 0.00101, 1000) == []


def test_who_waits_for_the_core_rests_and_longer_each_time() -> None:
    assert _rests(Pressure(), 0.03, 0.06, 6) == [2.0, 4.0, 8.0, 16.0, 16.0, 16.0]


def test_a_little_work_is_not_judged() -> None:
    assert _rests(Pressure(), 0.001, 0.0019, 15) == []


def test_starving_is_noticed_before_much_was_done() -> None:
    assert _rests(Pressure(), 0.001, 0.07, 1) == [2.0]


def test_rests_get_shorter_once_the_core_is_free() -> None:
    pressure = Pressure()
    assert _rests(pressure, 0.03, 0.06, 3) == [2.0, 4.0, 8.0]
    assert _rests(pressure, 0.03, 0.03, 2) == []
    assert _rests(pressure, 0.03, 0.06, 2) == [4.0, 8.0]
