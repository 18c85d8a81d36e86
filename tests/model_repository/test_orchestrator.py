"""The orchestrator's contract, held by the real ``model.py`` with the real weights."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from triton_backend import REPOSITORY, InferenceResponse, Request, load_model, model_config, request

FOLDER = REPOSITORY / "cpu" / "orchestrator"
WEATHER = {"name": "weather_agent", "description": "Gets real-time weather and forecasts for any city."}
FLIGHTS = {"name": "flight_agent", "description": "Searches flights between airports with schedules."}
BILLING = {"name": "billing", "description": "Explains invoices and takes payments. Does not handle refunds."}
TRAVEL = [WEATHER, FLIGHTS]


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(FOLDER)


@pytest.fixture(scope="module")
def threshold() -> float:
    return float(model_config(FOLDER).parameters["threshold"].string_value)


def ask(*turns: str, routes: Any = TRAVEL) -> Request:
    roles = ["user", "assistant"]
    first = (len(turns) + 1) % 2
    conversation = [{"role": roles[(first + index) % 2], "content": text} for index, text in enumerate(turns)]
    return request(CONVERSATION=json.dumps(conversation).encode(), ROUTES=json.dumps(routes).encode())


def answer(model: Any, one: Request) -> InferenceResponse:
    [response] = model.execute([one])
    assert isinstance(response.error, type(None)), response.error
    return response


def chosen(response: InferenceResponse, threshold: float, routes: list[dict[str, str]]) -> list[str]:
    scores, order = response.array("SCORES")[0], response.array("ORDER")[0]
    return [routes[index]["name"] for index in np.argsort(order) if scores[index] >= threshold]


def test_configuration_states_the_scoring_contract() -> None:
    config = model_config(FOLDER)
    assert (config.name, config.backend) == ("orchestrator", "python")
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("CONVERSATION", [1]), ("ROUTES", [1])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("SCORES", [-1]), ("ORDER", [-1])]
    assert config.HasField("dynamic_batching")
    assert config.max_batch_size >= 8
    assert 0.0 < float(config.parameters["threshold"].string_value) < 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Find flights from NYC to Paris and check the weather there", ["flight_agent", "weather_agent"]),
        ("What's the weather in Oslo?", ["weather_agent"]),
        ("hi there, how are you?", []),
    ],
)
def test_decides_the_travel_examples(model: Any, threshold: float, text: str, expected: list[str]) -> None:
    assert chosen(answer(model, ask(text)), threshold, TRAVEL) == expected


def test_a_follow_up_is_read_in_its_context(model: Any) -> None:
    alone = answer(model, ask("and in Paris?")).array("SCORES")[0]
    follow_up = answer(model, ask("What's the weather in Oslo?", "Sunny, 24 degrees.", "and in Paris?")).array(
        "SCORES"
    )[0]
    assert follow_up[0] > max(alone[0], follow_up[1])


def test_scores_do_not_depend_on_the_order_of_the_roster(model: Any) -> None:
    roster = [WEATHER, FLIGHTS, BILLING]
    forward = answer(model, ask("Is there a flight to Rome tonight?", routes=roster)).array("SCORES")[0]
    backward = answer(model, ask("Is there a flight to Rome tonight?", routes=roster[::-1])).array("SCORES")[0]
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-5)


def test_order_is_a_permutation_and_scores_are_probabilities(model: Any) -> None:
    response = answer(model, ask("Pay my bill, then book a flight", routes=[WEATHER, FLIGHTS, BILLING]))
    assert sorted(response.array("ORDER")[0]) == [0, 1, 2]
    assert response.array("ORDER").dtype == np.int32
    assert response.array("SCORES").dtype == np.float32
    assert ((response.array("SCORES") >= 0) & (response.array("SCORES") <= 1)).all()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Check the weather in Paris, then find a flight there", 0),
        ("Before you look for flights, check the weather in Paris", 0),
        ("Check the weather in Paris, but only after you found a flight", 1),
        ("Once you have found a flight to Paris, check the weather", 1),
    ],
)
def test_cue_words_set_the_running_order(model: Any, text: str, first: int) -> None:
    assert answer(model, ask(text)).array("ORDER")[0].argmin() == first


def test_one_agent_alone_can_be_judged(model: Any) -> None:
    response = answer(model, ask("What's the weather in Oslo?", routes=[WEATHER]))
    assert response.array("SCORES").shape == (1, 1)


@pytest.mark.parametrize(
    ("conversation", "routes", "complaint"),
    [
        (b"{not json", b"[]", "malformed"),
        (b"\xff\xfe", b"[]", "malformed"),
        (b"[]", b"[]", "at least one turn"),
        (b'"text"', b"[]", "array"),
        (b'[{"role": "user", "content": 7}]', b"[]", "text content"),
        (b'[{"role": "wizard", "content": "x"}]', b"[]", "known role"),
        (b'[{"role": "assistant", "content": "hello"}]', b"[]", "no user turn"),
        (b'[{"role": "user", "content": "   "}]', b"[]", "no user turn"),
        (b'[{"role": "user", "content": "hi"}]', b"[]", "1 to 50 agents"),
        (b'[{"role": "user", "content": "hi"}]', b"{}", "1 to 50 agents"),
        (b'[{"role": "user", "content": "hi"}]', b"[7]", "name"),
        (b'[{"role": "user", "content": "hi"}]', b'[{"name": "a"}]', "description"),
        (b'[{"role": "user", "content": "hi"}]', json.dumps([WEATHER] * 51).encode(), "1 to 50 agents"),
        (b"[" * 100_000, b"[]", "malformed"),
    ],
)
def test_a_malformed_request_gets_its_own_error(model: Any, conversation: bytes, routes: bytes, complaint: str) -> None:
    good = ask("What's the weather in Oslo?")
    bad, fine = model.execute([request(CONVERSATION=conversation, ROUTES=routes), good])
    assert complaint in str(bad.error)
    assert fine.error is None
    assert fine.array("SCORES").shape == (1, 2)


def test_odd_but_valid_texts_are_scored(model: Any) -> None:
    for text in [
        "\\ud800 half a pair",
        "\\u0000\\u200b",
        "x" * 50_000,
        "ф" * 9000,
        ". . . , ; and and then",
        "🛫" * 40,
    ]:
        conversation = f'[{{"role": "user", "content": "{text}"}}]'.encode()
        response = answer(model, request(CONVERSATION=conversation, ROUTES=json.dumps(TRAVEL).encode()))
        assert np.isfinite(response.array("SCORES")).all()


def test_a_batch_gives_each_request_what_it_gets_alone(model: Any) -> None:
    requests = [
        ask("What's the weather in Oslo?"),
        ask("Find flights from NYC to Paris and check the weather there", routes=[BILLING, FLIGHTS, WEATHER]),
        ask("Who won the match?", "I don't know.", "Then pay my invoice", routes=[BILLING]),
    ]
    together = model.execute(requests)
    for one, batched in zip(requests, together, strict=True):
        alone = answer(model, one)
        np.testing.assert_allclose(batched.array("SCORES"), alone.array("SCORES"), atol=1e-5)
        np.testing.assert_array_equal(batched.array("ORDER"), alone.array("ORDER"))


def test_rows_of_one_request_are_scored_each(model: Any) -> None:
    first, second = ask("What's the weather in Oslo?"), ask("Any flight to Rome?")
    rows = {name: [str_of(first, name), str_of(second, name)] for name in ("CONVERSATION", "ROUTES")}
    scores = answer(model, request(**rows)).array("SCORES")
    assert scores.shape == (2, 2)
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_rows_of_one_request_need_equal_numbers_of_agents(model: Any) -> None:
    first, second = ask("What's the weather in Oslo?"), ask("Any flight to Rome?", routes=[FLIGHTS])
    [response] = model.execute(
        [request(**{n: [str_of(first, n), str_of(second, n)] for n in ("CONVERSATION", "ROUTES")})]
    )
    assert "same number of agents" in str(response.error)


def test_the_same_question_gets_the_same_scores(model: Any) -> None:
    question = ask("Find flights from NYC to Paris and check the weather there")
    first, second = answer(model, question), answer(model, question)
    np.testing.assert_array_equal(first.array("SCORES"), second.array("SCORES"))


def test_the_cache_of_descriptions_is_bounded() -> None:
    small = load_model(FOLDER, cached_agents="4")
    for number in range(6):
        routes = [{"name": f"agent {number}", "description": f"Looks after building {number}."}, WEATHER]
        answer(small, ask("Is the lift working?", routes=routes))
        assert len(small._agents) <= 4
    assert (WEATHER["name"], WEATHER["description"]) in small._agents


def str_of(one: Request, name: str) -> bytes:
    value = one.tensors[name].as_numpy()[0][0]
    assert isinstance(value, bytes)
    return value


def test_what_a_list_names_is_looked_at_one_by_one(model: Any) -> None:
    texts = sys.modules["roster_features"].describe(
        "desk", "Handles parcels, lost keys and visitors. No mail, no calls."
    )
    assert texts.phrases == ("Handles parcels, lost keys and visitors",)
    assert texts.items == ("Handles parcels", "lost keys", "visitors")
    assert texts.exclusions == ("No mail, no calls",)
    assert texts.texts == [texts.whole, *texts.phrases, *texts.exclusions, *texts.items]
