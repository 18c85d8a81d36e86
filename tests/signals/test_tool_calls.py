from __future__ import annotations

from typing import Any

import pytest

from tests.signals.conversations import call, found_in, result, steps, user

NOT_FOUND = {"error": "order not found"}
UNAVAILABLE = "503 Service Unavailable"
RUNNING = {"status": "running"}


def loops(*pairs: tuple[Any, Any]) -> list[tuple[int, str]]:
    """The loops in a run of calls and their results: in which of its steps, and which."""
    found = found_in(steps(*pairs))
    return [((index - 1) // 2, kind.rpartition(".")[2]) for index, kind in found if kind.startswith("execution.loops")]


def get(number: int = 1) -> Any:
    return call("get", {"id": number})


def test_a_wrong_call_made_again_is_a_retry() -> None:
    assert loops((get(), result(NOT_FOUND)), (get(), result(NOT_FOUND))) == [(1, "retry")]


def test_the_order_of_keys_makes_no_other_call() -> None:
    made = (call("f", '{"a":1,"b":2}'), result(NOT_FOUND)), (call("f", '{ "b": 2, "a": 1 }'), result(NOT_FOUND))
    assert loops(*made) == [(1, "retry")]


def test_one_more_try_after_a_disturbance_is_none() -> None:
    again = (get(), result(UNAVAILABLE))
    assert loops(again, (get(), result({"id": 1}))) == []
    assert loops(again, again, again) == [(2, "retry")]


def test_the_same_answer_twice_asked_a_third_time_is_a_retry() -> None:
    same = (get(), result({"id": 1}))
    assert loops(same, same) == []
    assert loops(same, same, same, same) == [(2, "retry"), (3, "retry")]


@pytest.mark.parametrize("came", [[RUNNING] * 5, [{"n": number} for number in range(5)]])
def test_waiting_and_what_changes_are_no_retries(came: list[Any]) -> None:
    assert loops(*[(get(), result(one)) for one in came]) == []


def test_something_done_in_between_makes_a_call_worth_trying_again() -> None:
    assert loops((get(), result(NOT_FOUND)), (call("create", {}), result("ok")), (get(), result({"id": 1}))) == []


def test_three_failing_calls_with_other_arguments_drift() -> None:
    failing = [(get(number), result(NOT_FOUND)) for number in range(4)]
    assert loops(*failing) == [(2, "parameter_drift"), (3, "parameter_drift")]


def test_finding_nothing_again_and_again_is_drift_too() -> None:
    assert loops(*[(get(number), result([])) for number in range(3)]) == [(2, "parameter_drift")]


def test_success_and_disturbances_are_no_drift() -> None:
    assert loops(*[(get(number), result({"id": number})) for number in range(5)]) == []
    assert loops(*[(get(number), result(UNAVAILABLE)) for number in range(5)]) == []


def test_a_batch_in_one_message_is_one_step() -> None:
    made = [get(number)["tool_calls"][0] for number in range(4)]
    batch = {"role": "assistant", "content": None, "tool_calls": [{**one, "id": f"c{n}"} for n, one in enumerate(made)]}
    results = [result(NOT_FOUND, call_id=f"c{number}") for number in range(4)]
    assert {kind for _, kind in found_in([user("Get all of them."), batch, *results])} == {
        "execution.failure.state_error"
    }


def test_two_calls_back_and_forth_oscillate() -> None:
    on, off = (call("on", {}), result("ok")), (call("off", {}), result("ok"))
    assert loops(on, off, on, off, on) == [(3, "oscillation"), (4, "oscillation")]


def test_checking_after_each_of_several_changes_does_not() -> None:
    test_run = call("test", {})
    changes = [((call("edit", {"v": n}), result("ok")), (test_run, result({"failed": 3 - n}))) for n in range(3)]
    assert loops(*[step for pair in changes for step in pair]) == []


def test_polling_with_a_pause_does_not() -> None:
    poll, pause = (get(), result(RUNNING)), (call("sleep", {"s": 5}), result("ok"))
    assert loops(poll, pause, poll, pause, poll) == []


def test_what_a_user_asks_for_again_is_no_loop() -> None:
    once = steps((get(), result(NOT_FOUND)))
    again = [get(), result(NOT_FOUND)]
    assert not any(kind.startswith("execution.loops") for _, kind in found_in([*once, user("Try again."), *again]))
