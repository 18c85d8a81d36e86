"""Orchestrators on a scripted Triton: both contracts, and models that are swapped while they are asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.routing.generating import TritonOrchestrator
from router.routing.generation import PromptTemplate
from router.routing.router import AgentRouter
from router.triton.client import TritonClient
from router.triton.models import RouteScores
from tests.fakes.counters import RecordedMetrics
from tests.fakes.triton import TENSORRT_LLM_INPUTS, FakeTriton

ROUTES = [RouteDescription("code", "writes code"), RouteDescription("chat", "small talk"), RouteDescription("x", "x")]
HELLO = [Turn("user", "hello")]


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


@pytest.fixture
def orchestrator(client: TritonClient) -> TritonOrchestrator:
    return TritonOrchestrator(client, "orchestrator")


async def ask(orchestrator: TritonOrchestrator, timeout_s: float = 5.0) -> RouteScores:
    return await orchestrator.score(HELLO, ROUTES, timeout_s=timeout_s)


async def test_a_model_that_scores_is_asked_for_scores(orchestrator, triton):
    triton.orchestrator(lambda conversation, routes: [0.1, 0.9, 0.2])
    assert (await ask(orchestrator)).scores == pytest.approx((0.1, 0.9, 0.2))


async def test_a_model_that_generates_is_asked_for_a_text(orchestrator, triton):
    triton.generator(lambda prompt, parameters: '{"route": ["x", "code"]}', version="3")
    scores = await ask(orchestrator)
    assert scores.scores == (1.0, 0.0, 1.0)
    assert scores.order == (1, 3, 0)
    assert (scores.model, scores.version, scores.threshold) == ("orchestrator", "3", 0.5)


async def test_the_tensors_of_tensorrt_llm_are_recognised(orchestrator, triton):
    triton.generator(lambda prompt, parameters: '{"route": ["chat"]}', inputs=TENSORRT_LLM_INPUTS, max_batch_size=4)
    assert (await ask(orchestrator)).scores == (0.0, 1.0, 0.0)


async def test_the_text_can_only_be_about_declared_routes(orchestrator, triton):
    asked: list[dict[str, Any]] = []
    triton.generator(lambda prompt, parameters: asked.append(parameters) or '{"route": []}')
    await ask(orchestrator)
    assert '"enum":["code","chat","x"]' in asked[0]["structured_outputs"]
    assert asked[0]["max_tokens"] == 256


async def test_names_that_nobody_declared_are_dropped(orchestrator, triton):
    triton.generator(lambda prompt, parameters: '{"route": ["admin", "chat"]}')
    assert (await ask(orchestrator)).scores == (0.0, 1.0, 0.0)


async def test_the_prompt_is_a_turn_in_the_chat_format_of_the_model(orchestrator, triton):
    prompts: list[str] = []
    model = triton.generator(lambda prompt, parameters: prompts.append(prompt) or '{"route": []}')
    await ask(orchestrator)
    model.parameters["chat_format"] = "llama3"
    await ask(TritonOrchestrator(orchestrator._client, "orchestrator"))
    assert prompts[0].startswith("<|im_start|>user\nYou decide")
    assert prompts[0].endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert prompts[1].endswith("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


async def test_a_chat_format_nobody_knows_is_a_failure(orchestrator, triton):
    triton.generator(lambda prompt, parameters: '{"route": []}').parameters["chat_format"] = "morse"
    with pytest.raises(ModelUnavailable, match="chat format"):
        await ask(orchestrator)


async def test_the_prompt_can_be_another_one(client, triton):
    prompts: list[str] = []
    model = triton.generator(lambda prompt, parameters: prompts.append(prompt) or '{"route": []}')
    model.parameters["chat_format"] = "plain"
    template = PromptTemplate.parse("C: {conversation}\nR: {routes}\nA:")
    await ask(TritonOrchestrator(client, "orchestrator", template=template))
    assert prompts[0].startswith('C: [\n    {\n        "role": "user"')
    assert prompts[0].endswith("\nA:")


async def test_a_long_conversation_is_cut_to_the_context_of_the_model(client, triton):
    prompts: list[str] = []
    triton.generator(lambda prompt, parameters: prompts.append(prompt) or '{"route": []}')
    conversation = [Turn("user", f"{number} " + "x" * 2000) for number in range(16)]
    orchestrator = TritonOrchestrator(client, "orchestrator", context_tokens=4096)
    await orchestrator.score(conversation, ROUTES, timeout_s=5.0)
    assert len(prompts[0]) / 4 < 4096
    assert '"15 x' in prompts[0]


async def test_a_model_may_be_swapped_for_one_of_the_other_contract_and_back(orchestrator, triton):
    for _ in range(2):
        triton.orchestrator(lambda conversation, routes: [0.9, 0.1, 0.1])
        assert (await ask(orchestrator)).scores == pytest.approx((0.9, 0.1, 0.1))
        triton.generator(lambda prompt, parameters: '{"route": ["x"]}')
        assert (await ask(orchestrator)).scores == (0.0, 0.0, 1.0)
    triton.generator(lambda prompt, parameters: '{"route": ["chat"]}', inputs=TENSORRT_LLM_INPUTS, max_batch_size=4)
    assert (await ask(orchestrator)).scores == (0.0, 1.0, 0.0)


async def test_a_failing_model_that_nobody_swapped_is_asked_once(orchestrator, triton):
    model = triton.generator(lambda prompt, parameters: "no idea")
    with pytest.raises(ModelUnavailable, match="names no routes"):
        await ask(orchestrator)
    assert len(triton.requests) == 1
    model.stream = lambda inputs: ["out of memory"]
    with pytest.raises(ModelUnavailable, match="failed"):
        await ask(orchestrator)
    assert len(triton.requests) == 2


async def test_the_configuration_is_not_read_for_every_request(orchestrator, triton):
    triton.generator(lambda prompt, parameters: '{"route": []}')
    for _ in range(3):
        await ask(orchestrator)
    assert triton.config_reads == 1


async def test_a_model_that_does_not_answer_is_given_up_in_time(orchestrator, triton):
    triton.generator(lambda prompt, parameters: "{").hang = True
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="in time"):
        await ask(orchestrator, timeout_s=0.3)
    assert time.monotonic() - started < 3.0


async def test_a_model_of_neither_contract_cannot_orchestrate(orchestrator, triton):
    triton.classifier("orchestrator", ["x"], lambda text: [0.5])
    with pytest.raises(ModelUnavailable, match="cannot orchestrate"):
        await ask(orchestrator)


async def test_without_a_usable_text_the_default_route_answers(orchestrator, triton):
    triton.generator(lambda prompt, parameters: "I would take code.")
    metrics = RecordedMetrics().metrics
    router = AgentRouter(
        "front", ROUTES, default="chat", orchestrator=orchestrator, threshold=None, timeout_s=5, metrics=metrics
    )
    decision = await router.decide(HELLO, timeout_s=5)
    assert (decision.routes, decision.reason) == (("chat",), "degraded")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.text(max_size=60), said=st.text(max_size=60))
async def test_whatever_is_asked_and_answered_only_declared_routes_come_out(orchestrator, triton, text, said):
    triton.generator(lambda prompt, parameters: [said, '{"route": ["x", "nobody"]}'])
    scores = await orchestrator.score([Turn("user", text)], ROUTES, timeout_s=5.0)
    assert set(scores.scores) <= {0.0, 1.0}
