from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from router.config.filters import Filter, FilterPattern
from router.config.pii import PiiSettings
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, CompletionAssembler, JsonObject, chunk, chunk_base, chunks_of
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import FilterUnavailable, ModelUnavailable, OperatorError
from router.filters.base import AnswerFilter, Blocked, Rejection
from router.filters.building import Filters
from router.filters.pii import PII_HEADER, PiiFilter, pii_filter
from router.filters.pii_answers import Sentences
from router.triton.client import TritonClient
from router.triton.tensors import Tensor
from router.upstream.http import HttpClient
from tests.fakes.counters import RecordedMetrics
from tests.fakes.triton import FakeModel, FakeTriton
from tests.filters.exchanges import said, text_of, through

BASE = chunk_base("m")
NAMES = {"Anna Berg": "SURNAME", "Bo": "GIVEN_NAME", "Carla Ruiz": "SURNAME"}


@dataclass(frozen=True)
class Span:
    label: str
    start: int
    end: int
    score: float = 0.9


class Model:
    """Knows the people in ``NAMES``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gone = False

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Span]]:
        if self.gone:
            raise ModelUnavailable("gone")
        self.asked += texts
        return [
            sorted(
                (Span(NAMES[name], text.index(name), text.index(name) + len(name)) for name in NAMES if name in text),
                key=lambda span: span.start,
            )
            for text in texts
        ]


def made(model: Model | None = None, **settings: Any) -> PiiFilter:
    return pii_filter("privacy", PiiSettings(**settings), model or Model())


def asked(*messages: JsonObject, dialect: str = "openai_chat", **fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": list(messages), **fields}
    return CLIENT_DIALECTS[dialect].decode_request(json.dumps(body).encode())  # type: ignore[index]


def user(content: Any) -> JsonObject:
    return {"role": "user", "content": content}


@pytest.fixture
def context() -> RequestContext:
    return RequestContext("id", "listener", "/v1/chat/completions", {}, time.monotonic() + 60)


async def redacted(filter_: PiiFilter, request: ChatRequest, context: RequestContext) -> ChatRequest:
    outcome = await filter_.on_request(request, context)
    assert isinstance(outcome, ChatRequest)
    return outcome


async def told(answer: AnswerFilter | None, chunks: list[JsonObject]) -> JsonObject:
    """The message that a client reads when the answer is these chunks."""
    assert answer is not None
    assembler = CompletionAssembler()
    outcomes = [await answer.feed([one]) for one in chunks] + [await answer.finish()]
    for outcome in outcomes:
        assert not isinstance(outcome, Blocked)
        for piece in outcome:
            assembler.add(piece)
    message: JsonObject = assembler.completion()["choices"][0]["message"]
    return message


def spoken(*pieces: str) -> list[JsonObject]:
    return [*(chunk({"content": piece}, base=BASE) for piece in pieces), chunk({}, base=BASE, finish_reason="stop")]


async def test_the_upstream_reads_placeholders_and_the_client_the_values(context: RequestContext) -> None:
    filter_ = made()
    request = asked(user("I am Anna Berg, anna@example.com. Card 4111 1111 1111 1111."))
    outcome = await redacted(filter_, request, context)
    assert outcome.messages[0]["content"] == "I am <PERSON_1>, <EMAIL_ADDRESS_1>. Card <CREDIT_CARD_1>."
    assert json.loads(outcome.native_body() or b"")["messages"] == outcome.messages
    answer = filter_.answer_filter(outcome, context)
    message = await told(answer, spoken("Hello <PERSON_1> (<EMAIL_ADDRESS_1>), <PERSON_2>!"))
    assert message["content"] == "Hello Anna Berg (anna@example.com), <PERSON_2>!"


async def test_a_request_without_personal_data_is_passed_on_as_it_is(context: RequestContext) -> None:
    request = asked(user("What's the weather in Oslo?"))
    filter_ = made()
    assert await filter_.on_request(request, context) is request
    assert filter_.answer_filter(request, context) is None


async def test_placeholders_are_the_same_when_the_conversation_goes_on() -> None:
    filter_ = made()
    first = [user("I am Anna Berg."), {"role": "assistant", "content": "Hello Anna Berg."}]
    more = [*first, user("My mail is a@example.com and my brother is Bo.")]
    seen = []
    for messages in (first[:1], first, more):
        context = RequestContext("id", "listener", "/", {}, time.monotonic() + 60)
        outcome = await redacted(filter_, asked(*messages), context)
        seen.append([message["content"] for message in outcome.messages])
    assert seen[2][:2] == seen[1] == ["I am <PERSON_1>.", "Hello <PERSON_1>."]
    assert seen[2][2] == "My mail is <EMAIL_ADDRESS_1> and my brother is <PERSON_2>."


async def test_what_was_found_once_is_hidden_everywhere(context: RequestContext) -> None:
    tool = {"role": "tool", "tool_call_id": "1", "content": '{"ref":"X9447125Q"}'}
    request = asked(user("My passport number is X9447125Q"), tool)
    outcome = await redacted(made(), request, context)
    assert outcome.messages[1]["content"] == '{"ref":"<PASSPORT_1>"}'


async def test_tool_calls_their_results_and_every_part_are_redacted(context: RequestContext) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": '{"to":"a@ex\\u0061mple.com"}'}}
    request = asked(
        {"role": "system", "content": "The user is Anna Berg."},
        user([{"type": "text", "text": "Write to"}, {"type": "text", "text": "a@example.com"}]),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sent to b@example.com"},
        user="c@example.com",
        metadata={"owner": "d@example.com"},
    )
    outcome = await redacted(made(), request, context)
    text = json.dumps(outcome.payload)
    assert "example.com" not in text
    assert "Anna" not in text
    assert json.loads(outcome.messages[2]["tool_calls"][0]["function"]["arguments"]) == {"to": "<EMAIL_ADDRESS_1>"}


async def test_keys_say_what_the_values_of_arguments_are(context: RequestContext) -> None:
    given = {"ssn": 472810094, "count": 88231774, "account_number": "00012345", "cards": [4111111111111111, 12]}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps(given)}}
    request = asked(user("go"), {"role": "assistant", "content": None, "tool_calls": [call]})
    outcome = await redacted(made(), request, context)
    assert json.loads(outcome.messages[1]["tool_calls"][0]["function"]["arguments"]) == {
        "ssn": "<NATIONAL_ID_1>",
        "count": 88231774,
        "account_number": "<BANK_ACCOUNT_1>",
        "cards": ["<CREDIT_CARD_1>", 12],
    }


async def test_arguments_nested_without_end_are_refused(context: RequestContext) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[" * 200 + "]" * 200}}
    with pytest.raises(RecursionError):
        await made().on_request(asked({"role": "assistant", "content": None, "tool_calls": [call]}), context)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (
            "anthropic_messages",
            {
                "system": [{"type": "text", "text": "For Anna Berg"}],
                "max_tokens": 9,
                "messages": [
                    user([{"type": "text", "text": "I am Anna Berg"}]),
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["Bo"]}}],
                    },
                    user([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "Bo"}]}]),
                ],
            },
        ),
        (
            "openai_responses",
            {
                "instructions": "For Anna Berg",
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "I am Anna Berg"}]},
                    {"type": "function_call", "call_id": "t", "name": "f", "arguments": '{"a":"Bo"}'},
                    {"type": "function_call_output", "call_id": "t", "output": "Bo"},
                ],
            },
        ),
    ],
)
async def test_every_dialect_is_redacted_as_the_client_wrote_it(
    context: RequestContext, dialect: str, body: JsonObject
) -> None:
    request = CLIENT_DIALECTS[dialect].decode_request(json.dumps({"model": "m", **body}).encode())  # type: ignore[index]
    outcome = await redacted(made(), request, context)
    assert outcome.native is not None
    for form in (json.dumps(outcome.native), json.dumps(outcome.payload)):
        assert "Anna" not in form
        assert '"Bo"' not in form
        assert form.count("<PERSON_1>") == 2


async def test_placeholders_that_a_user_wrote_are_not_turned_into_names(context: RequestContext) -> None:
    filter_ = made()
    outcome = await redacted(filter_, asked(user("What is <PERSON_1>? I am Anna Berg.")), context)
    assert outcome.messages[0]["content"] == "What is <PERSON_1>? I am <PERSON_2>."
    message = await told(filter_.answer_filter(outcome, context), spoken("<PERSON_1> is not <PERSON_2>"))
    assert message["content"] == "<PERSON_1> is not Anna Berg"


async def test_arguments_of_tool_calls_are_restored_as_json(context: RequestContext) -> None:
    filter_ = made()
    outcome = await redacted(filter_, asked(user("The password is Zx9\\y77.")), context)
    assert outcome.messages[0]["content"] == "The password is <SECRET_1>."
    deltas = [
        {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": '{"p":"\\u003cSEC'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'RET_1\\u003e"}'}}]},
    ]
    chunks = [*(chunk(delta, base=BASE) for delta in deltas), chunk({}, base=BASE, finish_reason="tool_calls")]
    message = await told(filter_.answer_filter(outcome, context), chunks)
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"p": "Zx9\\y77"}


async def test_a_whole_answer_is_restored(context: RequestContext) -> None:
    filter_ = made()
    await redacted(filter_, asked(user("I am Anna Berg")), context)
    whole = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Dear <PERSON_1>"}}]}
    message = await told(filter_.answer_filter(asked(user("")), context), chunks_of(whole))
    assert message["content"] == "Dear Anna Berg"


async def test_signed_reasoning_stays_as_the_model_wrote_it(context: RequestContext) -> None:
    filter_ = made()
    await redacted(filter_, asked(user("I am Anna Berg")), context)
    block = {"type": "thinking", "thinking": "So <PERSON_1> asks", "signature": "s"}
    chunks = [
        chunk({"reasoning_content": "So <PERSON_1> asks"}, base=BASE),
        chunk({"thinking_blocks": [block]}, base=BASE),
        *spoken("Hi <PERSON_1>"),
    ]
    message = await told(filter_.answer_filter(asked(user("")), context), chunks)
    assert message["thinking_blocks"] == [block]
    assert (message["reasoning_content"], message["content"]) == ("So Anna Berg asks", "Hi Anna Berg")


ANSWER = 'Dear <PERSON_1>, <b>your</b> mail <EMAIL_ADDRESS_1>< is <PERSON_1> \\ "<PERSON_9>"'


@given(st.lists(st.integers(0, len(ANSWER)), max_size=6), st.booleans())
async def test_a_placeholder_is_restored_wherever_the_stream_cuts_it(cuts: list[int], in_tool: bool) -> None:
    context = RequestContext("id", "listener", "/", {}, time.monotonic() + 60)
    filter_ = made()
    await redacted(filter_, asked(user("Anna Berg, a@example.com")), context)
    places = [0, *sorted(cuts), len(ANSWER)]
    said = [ANSWER[start:end] for start, end in itertools.pairwise(places)]
    if in_tool:
        said = [json.dumps(piece)[1:-1] for piece in said]
        deltas: list[JsonObject] = [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in said]
    else:
        deltas = [{"content": piece} for piece in said]
    chunks = [*(chunk(delta, base=BASE) for delta in deltas), chunk({}, base=BASE, finish_reason="stop")]
    message = await told(filter_.answer_filter(asked(user("")), context), chunks)
    text = json.loads(f'"{message["tool_calls"][0]["function"]["arguments"]}"') if in_tool else message["content"]
    assert text == ANSWER.replace("<PERSON_1>", "Anna Berg").replace("<EMAIL_ADDRESS_1>", "a@example.com")


async def test_restored_values_are_logged_by_nobody(context: RequestContext, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    filter_ = made()
    outcome = await redacted(filter_, asked(user("I am Anna Berg")), context)
    await told(filter_.answer_filter(outcome, context), spoken("Hi <PERSON_1>"))
    assert "Anna" not in caplog.text
    assert "Anna" not in repr(context.filter_state)


async def test_a_request_is_blocked(context: RequestContext) -> None:
    filter_ = made(action="block", message="Not here.")
    assert await filter_.on_request(asked(user("I am Anna Berg")), context) == Rejection("Not here.")
    request = asked(user("hello"))
    assert await filter_.on_request(request, context) is request


async def test_a_request_is_annotated_with_kinds_and_not_with_values(context: RequestContext) -> None:
    request = asked(user("Anna Berg, a@example.com or b@example.com"))
    assert await made(action="annotate").on_request(request, context) is request
    assert context.response_headers[PII_HEADER] == "EMAIL_ADDRESS=2, PERSON=1"


async def test_attachments_are_refused_unless_they_are_allowed(context: RequestContext) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    request = asked(user([{"type": "text", "text": "What is this?"}, image]))
    refused = await made().on_request(request, context)
    assert isinstance(refused, Rejection)
    assert "attachments of the filter 'privacy'" in refused.message
    assert await made(attachments="allow").on_request(request, context) is request


async def test_only_what_is_said_is_shown_to_the_model(context: RequestContext) -> None:
    model = Model()
    tool = {"type": "function", "function": {"name": "f", "description": "Mails Anna Berg", "parameters": {}}}
    outcome = await redacted(made(model), asked(user("hello, a@example.com"), tools=[tool]), context)
    assert model.asked == ["hello, a@example.com"]
    assert outcome.payload["tools"] == [tool]


async def test_without_a_model_patterns_are_still_found(context: RequestContext) -> None:
    filter_ = pii_filter("privacy", PiiSettings(model=None), None)
    outcome = await redacted(filter_, asked(user("Anna Berg, a@example.com")), context)
    assert outcome.messages[0]["content"] == "Anna Berg, <EMAIL_ADDRESS_1>"


async def test_a_model_that_is_gone_is_a_failure(context: RequestContext) -> None:
    model = Model()
    model.gone = True
    with pytest.raises(ModelUnavailable):
        await made(model).on_request(asked(user("hello")), context)


async def test_a_filter_for_answers_leaves_requests_alone(context: RequestContext) -> None:
    request = asked(user("I am Anna Berg"))
    assert await made(direction="output").on_request(request, context) is request


async def test_what_an_answer_has_of_its_own_is_taken_out_for_good(context: RequestContext) -> None:
    filter_ = made(direction="both")
    outcome = await redacted(filter_, asked(user("I am Anna Berg")), context)
    answer = filter_.answer_filter(outcome, context)
    message = await told(answer, spoken("Dear <PERS", "ON_1>, ask Carla R", "uiz. Or mail c@exam", "ple.com"))
    assert message["content"] == "Dear Anna Berg, ask <PERSON>. Or mail <EMAIL_ADDRESS>"


async def test_the_arguments_of_an_answer_are_searched_as_a_whole(context: RequestContext) -> None:
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in ('{"to":"c@ex', 'ample.com"}')]
    chunks = [*(chunk(delta, base=BASE) for delta in deltas), chunk({}, base=BASE, finish_reason="tool_calls")]
    message = await told(made(direction="output").answer_filter(asked(user("")), context), chunks)
    assert message["tool_calls"][0]["function"]["arguments"] == '{"to":"<EMAIL_ADDRESS>"}'


async def test_an_answer_is_ended_before_the_sentence(context: RequestContext) -> None:
    answer = made(direction="output", action="block", message="No.").answer_filter(asked(user("")), context)
    assert answer is not None
    first = await answer.feed(spoken("One sentence. ", "Then Carla Ru")[:-1])
    assert isinstance(first, list)
    assert [piece["choices"][0]["delta"]["content"] for piece in first] == ["One sentence. "]
    assert await answer.feed(spoken("iz said.")) == Blocked("No.")


async def test_an_answer_is_annotated(context: RequestContext) -> None:
    answer = made(direction="output", action="annotate").answer_filter(asked(user("")), context)
    assert (await told(answer, spoken("Ask Carla Ruiz.")))["content"] == "Ask Carla Ruiz."
    assert context.response_headers[PII_HEADER] == "PERSON=1"


async def test_what_was_said_before_is_context(context: RequestContext) -> None:
    answer = made(direction="output").answer_filter(asked(user("")), context)
    message = await told(answer, spoken("Date of birth:\n", "12 March 1985.\n", "Bye"))
    assert message["content"] == "Date of birth:\n<DATE_OF_BIRTH>.\nBye"


async def test_nothing_is_lost_when_an_answer_cannot_be_judged(context: RequestContext) -> None:
    model = Model()
    answer = made(model, direction="output").answer_filter(asked(user("")), context)
    assert answer is not None
    model.gone = True
    with pytest.raises(ModelUnavailable):
        await answer.feed(spoken("One. ", "Two")[:-1])
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in answer.held()) == "One. Two"


@given(st.lists(st.text("aA.! \n1é", max_size=40), max_size=12))
def test_sentences_are_the_text(pieces: list[str]) -> None:
    sentences = Sentences()
    assert "".join(map(sentences.feed, pieces)) + sentences.finish() == "".join(pieces)


def test_a_sentence_without_an_end_is_not_waited_for() -> None:
    sentences = Sentences()
    assert sentences.feed("word " * 60).endswith("word ")
    assert sentences.feed("X" * 5000)


async def test_what_an_input_filter_took_out_is_put_back_behind_all_output_filters(context: RequestContext) -> None:
    shout = FilterPattern(name="p", pattern="Berg|<PERSON_1>", replacement="<PERSON_1>?", direction="output")
    configs = [Filter(id="privacy", type="pii"), Filter(id="marks", type="regex", patterns=(shout,))]
    async with FakeTriton() as triton:
        outputs = [("SPANS", "INT32", [-1, 3]), ("SCORES", "FP32", [-1])]
        model = FakeModel("pii_entities", [("TEXT", "BYTES", [1])], outputs, lambda _: ())
        model.parameters["labels"] = "SURNAME"
        model.answer = [Tensor.from_ints("SPANS", [5, 14, 0], (1, 1, 3)), Tensor.from_floats("SCORES", [0.9], (1, 1))]
        triton.add(model)
        client, http = TritonClient(triton.address), HttpClient(connect_timeout_s=2)
        chain = Filters(configs, http, RecordedMetrics().metrics, triton=client).chain(
            ["privacy"], ["marks"], listener="model"
        )
        request = await chain.apply_request(asked(user("I am Anna Berg")), context)
        assert isinstance(request, ChatRequest)
        assert request.messages[0]["content"] == "I am <PERSON_1>"
        out = await through(chain.transform(request, context), said("Hi <PERS", "ON_1>"))
        assert text_of(out) == "Hi Anna Berg?"
        model.error = StatusCode.UNAVAILABLE
        with pytest.raises(FilterUnavailable):
            await chain.apply_request(asked(user("I am Carla")), context)
        await client.close()
        await http.close()


async def test_a_filter_whose_model_is_nowhere_cannot_be_made() -> None:
    http = HttpClient(connect_timeout_s=2)
    filters = Filters([Filter(id="privacy", type="pii")], http, RecordedMetrics().metrics)
    with pytest.raises(OperatorError, match="'pii_entities' needs Triton"):
        filters.chain(["privacy"], [], listener="model")
    await http.close()


@pytest.mark.parametrize(
    "settings", [{"entities": ["NAME"]}, {"entities": []}, {"phone_regions": ["ZZ"]}, {"min_score": 2}, {"action": "x"}]
)
def test_settings_that_mean_nothing_are_refused(settings: JsonObject) -> None:
    with pytest.raises(ValidationError):
        PiiSettings(**settings)
