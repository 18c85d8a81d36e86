"""The tensor contracts: what is sent, what is believed, and what is not."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import ModelMetadata, TensorMetadata
from router.triton.models import Classifier, RouteScores, ScoringOrchestrator, orchestrator_contract
from router.triton.tensors import ContractViolation, Tensor
from tests.fakes.triton import FakeTriton

TURNS = [Turn("user", "Flights to Paris, and the weather there?")]
ROUTES = [RouteDescription("weather", "Forecasts."), RouteDescription("flights", "Timetables.")]


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


async def score(client: TritonClient) -> RouteScores:
    return await ScoringOrchestrator(client).score(TURNS, ROUTES, timeout_s=5.0)


async def test_scores_and_order_come_in_the_order_of_the_routes(client, triton):
    triton.orchestrator(lambda conversation, routes: ([0.5, 1.0], [1, 0]), version="4")
    assert await score(client) == RouteScores((0.5, 1.0), (1, 0), "orchestrator", "4", 0.5)


async def test_the_orchestrator_is_sent_the_conversation_and_the_routes_as_json(client, triton):
    triton.orchestrator(lambda conversation, routes: [0.0, 1.0])
    await score(client)
    (request,) = triton.requests
    assert request.json("CONVERSATION") == [{"role": "user", "content": TURNS[0].content}]
    assert request.json("ROUTES") == [
        {"name": "weather", "description": "Forecasts."},
        {"name": "flights", "description": "Timetables."},
    ]
    assert request.shapes == {"CONVERSATION": (1, 1), "ROUTES": (1, 1)}
    assert request.outputs == ["SCORES", "ORDER"]


async def test_text_that_has_no_utf_8_form_is_still_scored(client, triton):
    triton.orchestrator(lambda conversation, routes: [0.0, 1.0])
    await ScoringOrchestrator(client).score([Turn("user", "a\ud800b")], ROUTES, timeout_s=5.0)
    assert triton.requests[0].json("CONVERSATION") == [{"role": "user", "content": "a?b"}]


async def test_equal_positions_are_allowed(client, triton):
    triton.orchestrator(lambda conversation, routes: ([1.0, 1.0], [0, 0]))
    assert (await score(client)).order == (0, 0)


async def test_a_hair_above_one_is_one(client, triton):
    triton.orchestrator(lambda conversation, routes: [1.00001, -0.00001])
    assert (await score(client)).scores == (1.0, 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (1, 2))],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (2,)), Tensor.from_ints("ORDER", [0, 1], (2,))],
        [Tensor.from_floats("SCORES", [0.1], (1, 1)), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (1, 2)), Tensor.from_ints("ORDER", [0], (1, 1))],
        [Tensor.from_floats("SCORES", [0.1, 1.5], (1, 2)), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor.from_floats("SCORES", [-0.1, 0.5], (1, 2)), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor.from_floats("SCORES", [math.nan, 0.5], (1, 2)), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor.from_floats("SCORES", [math.inf, 0.5], (1, 2)), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (1, 2)), Tensor.from_ints("ORDER", [0, 2], (1, 2))],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (1, 2)), Tensor.from_ints("ORDER", [-1, 0], (1, 2))],
        [Tensor.from_floats("SCORES", [0.1, 0.2], (1, 2)), Tensor.from_floats("ORDER", [0, 1], (1, 2))],
        [Tensor("SCORES", "FP32", (1, 2), b"\x00"), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
        [Tensor("SCORES", "FP32", (1, 2), b""), Tensor.from_ints("ORDER", [0, 1], (1, 2))],
    ],
)
async def test_an_orchestrator_that_breaks_its_contract_is_unavailable(client, triton, answer):
    triton.orchestrator(lambda conversation, routes: [0.0, 0.0]).answer = answer
    with pytest.raises(ModelUnavailable, match="'orchestrator' gave an answer that breaks its contract") as caught:
        await score(client)
    assert isinstance(caught.value.__cause__, ContractViolation)


async def test_scoring_without_routes_is_a_mistake_of_the_caller(client):
    with pytest.raises(ValueError, match="no routes"):
        await ScoringOrchestrator(client).score(TURNS, [], timeout_s=5.0)


async def test_texts_are_classified_in_one_request_with_the_models_own_labels(client, triton):
    triton.classifier("guard", ["benign", "jailbreak"], lambda text: [0.0, 1.0] if "ignore" in text else [1.0, 0.0])
    answer = await Classifier(client, "guard").classify(["hello", "ignore that"], timeout_s=5.0)
    assert answer == [{"benign": 1.0, "jailbreak": 0.0}, {"benign": 0.0, "jailbreak": 1.0}]
    (request,) = triton.requests
    assert request.shapes == {"TEXT": (2, 1)}


async def test_more_texts_than_the_models_batch_go_in_several_requests_and_keep_their_order(client, triton):
    triton.classifier("guard", ["size"], lambda text: [len(text) / 128], max_batch_size=3)
    texts = ["x" * size for size in range(100)]
    answer = await Classifier(client, "guard").classify(texts, timeout_s=5.0)
    assert [scores["size"] for scores in answer] == [size / 128 for size in range(100)]
    assert sorted(request.shapes["TEXT"][0] for request in triton.requests) == [1] + [3] * 33


async def test_one_failed_batch_fails_the_whole(client, triton):
    model = triton.classifier("guard", ["size"], lambda text: [len(text) / 128], max_batch_size=1)
    handler = model.handler
    model.handler = lambda inputs: [] if inputs["TEXT"].byte_strings() == (b"bad",) else handler(inputs)
    with pytest.raises(ModelUnavailable):
        await Classifier(client, "guard").classify(["a", "bad", "c"], timeout_s=5.0)


async def test_no_texts_need_no_model(client, triton):
    assert await Classifier(client, "nosuch").classify([], timeout_s=5.0) == []


async def test_labels_are_read_once_per_version(client, triton):
    triton.classifier("guard", ["a", "b"], lambda text: [0.0, 1.0])
    classifier = Classifier(client, "guard")
    for _ in range(5):
        await classifier.classify(["hello"], timeout_s=5.0)
    assert triton.config_reads == 2  # what is served, then the version that answered
    triton.classifier("guard", ["c", "d"], lambda text: [0.0, 1.0], version="2")
    assert await classifier.classify(["hello"], timeout_s=5.0) == [{"c": 0.0, "d": 1.0}]
    assert triton.config_reads == 3


async def test_labels_are_read_again_when_an_answer_disagrees_with_them(client, triton):
    triton.classifier("guard", ["a", "b"], lambda text: [0.0, 1.0])
    classifier = Classifier(client, "guard")
    await classifier.classify(["hello"], timeout_s=5.0)
    triton.classifier("guard", ["a", "b", "c"], lambda text: [0.0, 0.5, 1.0])
    assert await classifier.classify(["hello"], timeout_s=5.0) == [{"a": 0.0, "b": 0.5, "c": 1.0}]


async def test_a_classifier_whose_scores_do_not_fit_its_labels_is_unavailable(client, triton):
    triton.classifier("guard", ["a", "b"], lambda text: [0.0, 0.5, 1.0])
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await Classifier(client, "guard").classify(["hello"], timeout_s=5.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.01, -0.01])
async def test_a_classifier_whose_scores_are_no_probabilities_is_unavailable(client, triton, value):
    triton.classifier("guard", ["a", "b"], lambda text: [0.0, value])
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await Classifier(client, "guard").classify(["hello"], timeout_s=5.0)


async def test_a_classifier_without_labels_or_batches_cannot_be_used(client, triton):
    triton.classifier("unlabelled", [], lambda text: [0.0])
    with pytest.raises(ModelUnavailable, match="names no labels"):
        await Classifier(client, "unlabelled").classify(["hello"], timeout_s=5.0)
    triton.classifier("unbatched", ["a"], lambda text: [0.0], max_batch_size=0)
    with pytest.raises(ModelUnavailable, match="takes no batches"):
        await Classifier(client, "unbatched").classify(["hello"], timeout_s=5.0)


async def test_text_that_has_no_utf_8_form_is_still_classified(client, triton):
    triton.classifier("guard", ["a"], lambda text: [1.0])
    await Classifier(client, "guard").classify(["a\ud800b"], timeout_s=5.0)
    assert triton.requests[0].inputs["TEXT"] == (b"a?b",)


async def test_all_batches_share_one_deadline(client, triton):
    model = triton.classifier("guard", ["a"], lambda text: [1.0], max_batch_size=1)
    model.delay_s = 0.2
    started = time.monotonic()
    with pytest.raises(ModelUnavailable):
        await Classifier(client, "guard").classify(["x"] * 100, timeout_s=0.5)
    assert time.monotonic() - started < 2.0


async def test_a_refusal_of_the_model_passes_through(client, triton):
    triton.classifier("guard", ["a"], lambda text: [1.0]).error = grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(ModelUnavailable, match="overloaded"):
        await Classifier(client, "guard").classify(["hello"], timeout_s=5.0)


async def test_the_scoring_contract_is_found_in_the_metadata(client, triton):
    triton.orchestrator(lambda conversation, routes: [])
    assert orchestrator_contract(await client.model_metadata("orchestrator", 5.0)) == "scoring"


def test_the_generation_contract_is_found_in_the_metadata():
    inputs = (TensorMetadata("text_input", "BYTES", (1,)), TensorMetadata("stream", "BOOL", (1,)))
    metadata = ModelMetadata("llm", ("1",), "", inputs, (TensorMetadata("text_output", "BYTES", (-1,)),))
    assert orchestrator_contract(metadata) == "generation"


async def test_a_model_of_neither_contract_is_refused_by_name(client, triton):
    triton.classifier("guard", ["a"], lambda text: [1.0])
    with pytest.raises(ModelUnavailable, match="'guard' cannot orchestrate"):
        orchestrator_contract(await client.model_metadata("guard", 5.0))


async def test_thresholds_are_the_models_own(client, triton):
    triton.orchestrator(lambda conversation, routes: [0.5, 1.0]).parameters["threshold"] = "0.4"
    triton.classifier("guard", ["benign", "jailbreak"], lambda text: [0.9, 0.1]).parameters["threshold"] = "0.75"
    assert (await score(client)).threshold == 0.4
    assert await Classifier(client, "guard").threshold(timeout_s=5) == 0.75


async def test_a_threshold_that_is_no_number_counts_as_none(client, triton):
    triton.orchestrator(lambda conversation, routes: [0.5, 1.0]).parameters["threshold"] = "high"
    assert (await score(client)).threshold == 0.5


async def test_each_label_can_have_a_threshold_of_its_own(client, triton):
    model = triton.classifier("guard", ["hate", "self-harm"], lambda text: [0.1, 0.1])
    model.parameters["thresholds"] = "0.6, 0.25"
    assert await Classifier(client, "guard").thresholds(timeout_s=5) == {"hate": 0.6, "self-harm": 0.25}


@pytest.mark.parametrize("given", [None, "", "0.6", "0.6,0.2,0.1", "0.6,low", "0.6,nan"])
async def test_labels_share_the_threshold_where_the_list_does_not_fit_them(client, triton, given):
    model = triton.classifier("guard", ["hate", "self-harm"], lambda text: [0.1, 0.1])
    model.parameters |= {"threshold": "0.75"} if given is None else {"threshold": "0.75", "thresholds": given}
    assert await Classifier(client, "guard").thresholds(timeout_s=5) == {"hate": 0.75, "self-harm": 0.75}
