"""``GuardrailService`` over the wire: verdicts on requests, on answers, and on answers while they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from router.errors import ModelUnavailable
from router.guardrails import Guard, GuardPolicy, LabelCheck, ScoredModel, Windowing
from router.protos.v1 import guardrail_pb2 as wire
from router.telemetry import semconv
from tests.fakes.models import ScriptedClassifier
from tests.services.serving import ATTACK, JAILBREAK, Clients, Served, connected, fields, reason, serving, until

WINDOWS = Windowing("sentence", 200, 30.0)


def guard(name: str, **policy: object) -> Guard:
    return Guard(
        GuardPolicy(name, windowing=WINDOWS, **policy), LabelCheck(ScoredModel(ScriptedClassifier()), JAILBREAK)
    )


GUARDS = (
    guard("redactor", action="redact", placeholder="[gone]"),
    guard("notes", action="annotate"),
    guard("mover", action="route", route="human"),
    guard("shadow", shadow=True),
    guard("strict", on_block="error", message="Not allowed."),
)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(guards=GUARDS) as server:
        yield server


@pytest_asyncio.fixture
async def clients(served: Served) -> AsyncIterator[Clients]:
    async with connected(served.address) as stubs:
        yield stubs


def checking(*texts: str | tuple[str, str], **more: object) -> wire.CheckRequest:
    """A request about these texts, the user's unless they come with a role."""
    pairs = [("", text) if isinstance(text, str) else text for text in texts]
    return wire.CheckRequest(texts=[wire.Text(role=role, content=content) for role, content in pairs], **more)


def classifier(**settings: object) -> wire.GuardDefinition:
    return wire.GuardDefinition(name="mine", classifier=wire.Classifier(**{"model": "jailbreak", **settings}))


async def test_a_guard_that_finds_nothing_lets_pass(served: Served, clients: Clients) -> None:
    answer = await clients.guardrail.Check(checking("Hello there.", guards=["jailbreak", "size"]))
    assert answer.outcome == wire.OUTCOME_PASS
    assert [(each.guard, each.outcome) for each in answer.verdicts] == [
        ("jailbreak", wire.OUTCOME_PASS),
        ("size", wire.OUTCOME_PASS),
    ]
    assert (answer.verdicts[0].model, answer.verdicts[1].model) == ("jailbreak", "")
    assert served.recorded.count(semconv.GUARD_VERDICTS, "jailbreak", "pass") == 1


async def test_a_guard_that_finds_something_says_what_and_what_to_say(clients: Clients) -> None:
    answer = await clients.guardrail.Check(checking("Hello.", ATTACK, guards=["jailbreak"]))
    [verdict] = answer.verdicts
    assert answer.outcome == verdict.outcome == wire.OUTCOME_BLOCK
    assert (verdict.label, verdict.score, verdict.message) == ("jailbreak", 1.0, "No.")
    assert list(answer.texts) == []


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("notes", wire.OUTCOME_ANNOTATE),
        ("mover", wire.OUTCOME_ROUTE),
        ("shadow", wire.OUTCOME_SHADOW),
        ("strict", wire.OUTCOME_BLOCK),
    ],
)
async def test_every_action_has_its_outcome(clients: Clients, name: str, outcome: int) -> None:
    answer = await clients.guardrail.Check(checking(ATTACK, guards=[name]))
    assert (answer.outcome, answer.verdicts[0].outcome) == (outcome, outcome)
    assert answer.verdicts[0].route == ("human" if name == "mover" else "")


async def test_what_is_left_of_redacted_texts_comes_back(clients: Clients) -> None:
    request = checking("Hello.", f"Nice day. {ATTACK} Bye.", guards=["redactor"])
    answer = await clients.guardrail.Check(request)
    assert answer.outcome == wire.OUTCOME_REDACT
    assert [(text.role, text.content) for text in answer.texts] == [
        ("user", "Hello."),
        ("user", "Nice day. [gone] Bye."),
    ]


async def test_answers_are_judged_text_by_text_and_redacted_in_place(clients: Clients) -> None:
    texts = ("It is sunny.", f"Sure. {ATTACK} Done.")
    request = checking(*texts, guards=["redactor"], direction=wire.DIRECTION_OUTPUT)
    answer = await clients.guardrail.Check(request)
    assert answer.outcome == wire.OUTCOME_REDACT
    assert [(text.role, text.content) for text in answer.texts] == [
        ("assistant", "It is sunny."),
        ("assistant", "Sure. [gone] Done."),
    ]
    blocked = await clients.guardrail.Check(checking(*texts, guards=["jailbreak"], direction=wire.DIRECTION_OUTPUT))
    assert blocked.outcome == wire.OUTCOME_BLOCK


async def test_a_model_that_is_gone_is_a_verdict(served: Served, clients: Clients) -> None:
    served.classifier.error = ModelUnavailable("gone")
    answer = await clients.guardrail.Check(checking("Hi.", guards=["jailbreak"], definitions=[classifier()]))
    assert [each.outcome for each in answer.verdicts] == [wire.OUTCOME_UNAVAILABLE] * 2
    assert answer.outcome == wire.OUTCOME_UNAVAILABLE
    assert served.recorded.count(semconv.DEGRADED, "guardrail") == 2


async def test_a_guard_of_the_request_says_where_how_much_and_from_when(clients: Clients) -> None:
    answer = await clients.guardrail.Check(checking("Hello.", ATTACK, definitions=[classifier()]))
    [verdict] = answer.verdicts
    assert (verdict.guard, verdict.outcome, list(verdict.found_in)) == ("mine", wire.OUTCOME_BLOCK, [1])
    assert [dict(each.scores)["jailbreak"] for each in verdict.scores] == [0.0, 1.0]
    assert verdict.model_thresholds.threshold == 0.5
    assert dict(verdict.model_thresholds.labels) == {"benign": 0.5, "jailbreak": 0.5, "injection": 0.5}


async def test_labels_and_thresholds_of_the_request_count(served: Served, clients: Clients) -> None:
    other = classifier(labels=["injection"], label_thresholds={"injection": 0.1})
    answer = await clients.guardrail.Check(checking(ATTACK, definitions=[other]))
    assert answer.verdicts[0].outcome == wire.OUTCOME_PASS
    assert served.classifier.asked == [[ATTACK]]


async def test_topics_of_the_request_are_scored_by_the_orchestrator(served: Served, clients: Clients) -> None:
    served.orchestrator.scores = {"travel": 0.2}
    topics = wire.Topics(allow=[wire.Topic(name="travel", description="Trips.")])
    definition = wire.GuardDefinition(name="topics", topics=topics)
    answer = await clients.guardrail.Check(checking("Tell me a joke.", definitions=[definition]))
    [verdict] = answer.verdicts
    assert (verdict.outcome, verdict.label, verdict.score) == (wire.OUTCOME_BLOCK, "off_topic", 0.8)
    assert verdict.model_thresholds.threshold == 0.5
    served.orchestrator.scores = {"travel": 0.9}
    answer = await clients.guardrail.Check(checking("To Oslo, please.", definitions=[definition]))
    assert answer.outcome == wire.OUTCOME_PASS


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (checking("Hi."), "INVALID_ARGUMENT", "guards"),
        (checking("Hi.", guards=["nobody"]), "NOT_FOUND", "guards[0]"),
        (checking(guards=["jailbreak"]), "INVALID_ARGUMENT", "texts"),
        (checking(("robot", "Hi."), guards=["jailbreak"]), "INVALID_ARGUMENT", "texts[0].role"),
        (checking("a" * 10_001, guards=["jailbreak"]), "INVALID_ARGUMENT", "texts"),
        (checking("a" * 40_001, definitions=[classifier()]), "INVALID_ARGUMENT", "texts"),
        (checking("Hi.", guards=["size"], direction=wire.DIRECTION_OUTPUT), "INVALID_ARGUMENT", "guards[0]"),
        (checking("Hi.", guards=["mover"], direction=wire.DIRECTION_OUTPUT), "INVALID_ARGUMENT", "guards[0]"),
        (checking("Hi.", definitions=[wire.GuardDefinition(name="x")]), "INVALID_ARGUMENT", "definitions[0].check"),
        (checking("Hi.", definitions=[classifier(model="other")]), "NOT_FOUND", "definitions[0].classifier.model"),
        (checking("Hi.", definitions=[classifier()] * 17), "INVALID_ARGUMENT", "definitions"),
    ],
)
async def test_a_request_that_is_wrong_names_its_field(
    clients: Clients, request_: wire.CheckRequest, code: str, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await clients.guardrail.Check(request_)
    assert (raised.value.code().name, fields(raised.value)) == (code, [field])


async def test_an_answer_goes_out_in_windows_as_it_is_judged(clients: Clients) -> None:
    call = clients.guardrail.CheckStream()
    await call.write(opening("strict"))
    await call.write(wire.CheckStreamRequest(delta="It is sunny in "))
    await call.write(wire.CheckStreamRequest(delta="Oslo today. And"))
    assert (await call.read()).released.text == "It is sunny in Oslo today. And"
    await call.write(wire.CheckStreamRequest(delta=" warm"))
    await call.done_writing()
    assert (await call.read()).released.text == " warm"
    finished = (await call.read()).finished
    assert [(each.guard, each.outcome) for each in finished.verdicts] == [("strict", wire.OUTCOME_PASS)]
    assert await call.read() is grpc.aio.EOF


async def test_what_is_held_is_reported_to_whoever_wants_to_know(clients: Clients) -> None:
    call = clients.guardrail.CheckStream()
    await call.write(opening("strict", report_held=True))
    await call.write(wire.CheckStreamRequest(delta="It is sunny in "))
    assert (await call.read()).held.chars == 15
    await call.write(wire.CheckStreamRequest(delta="Oslo today. "))
    assert (await call.read()).held.chars == 27
    assert (await call.read()).released.text == "It is sunny in Oslo today. "


@pytest.mark.parametrize(("name", "message"), [("jailbreak", "No."), ("strict", "Not allowed.")])
async def test_nothing_of_a_bad_window_goes_out_and_the_stream_ends(clients: Clients, name: str, message: str) -> None:
    events = await heard(clients, name, "It is sunny in Oslo today. ", f"Now {ATTACK} ", "And more.")
    released = "".join(event.released.text for event in events)
    assert ATTACK.rstrip(".") not in released
    assert [event.WhichOneof("event") for event in events[-2:]] == ["blocked", "finished"]
    assert (events[-2].blocked.guard, events[-2].blocked.message) == (name, message)
    assert events[-1].finished.verdicts[0].outcome == wire.OUTCOME_BLOCK


async def test_a_redacted_window_goes_out_without_what_was_found(clients: Clients) -> None:
    events = await heard(clients, "redactor", "Sure thing, here you are. ", f"{ATTACK} ", "Done.")
    assert "".join(event.released.text for event in events) == "Sure thing, here you are. [gone] Done."
    assert events[-1].finished.verdicts[0].outcome == wire.OUTCOME_REDACT


async def test_a_guard_that_takes_notes_holds_nothing_back(clients: Clients) -> None:
    events = await heard(clients, "notes", f"{ATTACK} ", "Done.")
    assert "".join(event.released.text for event in events) == f"{ATTACK} Done."
    assert events[-1].finished.verdicts[0].outcome == wire.OUTCOME_ANNOTATE


async def test_a_stream_whose_guard_is_gone_fails_with_nothing_released(served: Served, clients: Clients) -> None:
    served.classifier.error = ModelUnavailable("gone")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await heard(clients, "jailbreak", "It is sunny in Oslo today. ")
    assert (raised.value.code(), reason(raised.value)) == (
        grpc.StatusCode.UNAVAILABLE,
        "GUARDRAIL_UNAVAILABLE",
    )


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "open"),
        ([wire.CheckStreamRequest(delta="Hi.")], "open"),
        ([wire.CheckStreamRequest(open=wire.CheckStreamOpen())], "open.guards"),
        ([wire.CheckStreamRequest(open=wire.CheckStreamOpen(guards=["strict"]))] * 2, "part"),
        (
            [
                wire.CheckStreamRequest(open=wire.CheckStreamOpen(guards=["strict"])),
                wire.CheckStreamRequest(delta="a" * 16_385),
            ],
            "delta",
        ),
    ],
)
async def test_a_stream_that_is_wrong_says_where(
    clients: Clients, messages: Sequence[wire.CheckStreamRequest], field: str
) -> None:
    call = clients.guardrail.CheckStream(each_of(messages))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    assert (raised.value.code(), fields(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_client_that_leaves_ends_what_was_asked_for_it(served: Served, clients: Clients) -> None:
    served.classifier.hold = asyncio.Event()
    call = clients.guardrail.CheckStream()
    await call.write(opening("jailbreak"))
    await call.write(wire.CheckStreamRequest(delta="It is sunny in Oslo today. "))
    await until(lambda: served.classifier.asked)
    call.cancel()
    await until(lambda: served.lines.entries)
    assert served.lines.entries[0]["status"] == 499


def opening(*guards: str, report_held: bool = False) -> wire.CheckStreamRequest:
    return wire.CheckStreamRequest(open=wire.CheckStreamOpen(guards=guards, report_held=report_held))


async def each_of(messages: Sequence[wire.CheckStreamRequest]) -> AsyncIterator[wire.CheckStreamRequest]:
    for message in messages:
        yield message


async def heard(clients: Clients, guard_name: str, *deltas: str) -> list[wire.CheckStreamResponse]:
    """All that comes of an answer that is made of ``deltas``."""
    messages = [opening(guard_name), *(wire.CheckStreamRequest(delta=delta) for delta in deltas)]
    return [event async for event in clients.guardrail.CheckStream(each_of(messages))]
