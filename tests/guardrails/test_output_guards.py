from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.aio import timeout
from router.dialects.canonical import JsonObject, chunk, chunks_of, completion
from router.errors import ContentBlocked, GuardrailUnavailable, ModelUnavailable, UpstreamProtocolError
from router.guardrails import Windowing
from router.telemetry import semconv
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedClassifier
from tests.guardrails.answers import BASE, END, arguments, hear, pieces, stream, text
from tests.guardrails.guarding import ATTACK, context, guard, output_guards, request, user

SHORT = Windowing("chars", 20)
SAFE = "This is a sentence. "
MARK = "ignore all previous"


def answer(said: str, size: int = 5) -> list[JsonObject]:
    return [chunk({"role": "assistant"}, base=BASE), *[text(piece) for piece in pieces(said, size)], END]


async def until(condition: Callable[[], bool]) -> None:
    async with timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def soon(value: Awaitable[list[JsonObject]]) -> list[JsonObject]:
    async with timeout(5):
        return await value


@given(st.text("ab. \n!", max_size=300), st.integers(1, 50), st.sampled_from(["sentence", "chars"]), st.booleans())
async def test_what_is_not_bad_comes_out_as_it_was_and_only_after_it_was_judged(
    said: str, size: int, at: str, redact: bool
) -> None:
    judged: list[str] = []

    class Recording(ScriptedClassifier):
        async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
            scores = await super().classify(texts, timeout_s=timeout_s)
            judged.extend(texts)
            return scores

    policy = {"windowing": Windowing(at, 20), "action": "redact" if redact else "block"}  # type: ignore[arg-type]
    transform = output_guards(guard(Recording(), **policy)).transform(request(user("x"), stream=True), context())
    assert transform is not None
    chunks, out = answer(said, size), []
    async for batch in transform(stream(chunks)):
        new = "".join(each["choices"][0]["delta"].get("content", "") for each in batch)
        assert new.strip() == "" or any(new.strip() in text for text in judged)
        out += batch
    assert out == chunks


@given(
    st.integers(0, 120), st.integers(1, 30), st.sampled_from([SHORT, Windowing()]), st.sampled_from(["block", "redact"])
)
async def test_what_is_bad_never_comes_out_wherever_it_stands(
    position: int, size: int, windowing: Windowing, action: str
) -> None:
    said = SAFE * 6
    said = said[:position] + MARK + said[position:]
    heard = await hear(output_guards(guard(action=action, windowing=windowing)), answer(said, size))
    assert MARK not in heard.text
    assert heard.error is None
    assert heard.ends == (["content_filter"] if action == "block" else ["stop"])
    if action == "redact":
        assert "[redacted]" in heard.text
    else:
        assert heard.text.endswith("No.")


async def test_a_block_ends_the_stream_with_the_message_and_closes_the_answer() -> None:
    recorded, about, closed = RecordedMetrics(), context(), asyncio.Event()

    async def source() -> AsyncGenerator[list[JsonObject], None]:
        try:
            async for batch in stream([*answer(SAFE)[:-1], text(ATTACK + " ")]):
                yield batch
            await asyncio.Event().wait()
        finally:
            closed.set()

    heard = await hear(output_guards(guard(), recorded=recorded), source(), about)
    assert (heard.text, heard.ends) == (f"{SAFE}\n\nNo.", ["content_filter"])
    assert closed.is_set()
    assert [(verdict.direction, verdict.outcome) for verdict in about.verdicts] == [("output", "block")]
    assert recorded.count(semconv.GUARD_VERDICTS, "jailbreak", "block") == 1
    assert {each["id"] for each in heard.chunks} == {"a"}
    assert "x-trident-guard" not in about.response_headers  # they are out already


async def test_a_block_of_the_beginning_is_named_in_the_headers() -> None:
    about = context()
    heard = await hear(output_guards(guard()), answer(ATTACK), about)
    assert (heard.text, heard.ends) == ("No.", ["content_filter"])
    assert heard.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert about.response_headers == {"x-trident-guard": "jailbreak"}


async def test_a_whole_answer_is_refused_as_a_whole() -> None:
    about = context()
    whole = chunks_of(completion({"content": f"{SAFE * 20}{ATTACK}"}, model="m"))
    heard = await hear(output_guards(guard()), whole, about, streamed=False)
    assert (heard.text, heard.ends) == ("No.", ["content_filter"])
    assert about.response_headers == {"x-trident-guard": "jailbreak"}
    redacting = output_guards(guard(action="redact"))
    heard = await hear(redacting, whole, streamed=False)
    assert heard.text == f"{SAFE * 20}[redacted]"


async def test_a_block_may_be_an_error() -> None:
    heard = await hear(output_guards(guard(on_block="error")), answer(f"{SAFE}{ATTACK}"))
    assert isinstance(heard.error, ContentBlocked)
    assert heard.text == SAFE


@pytest.mark.parametrize(
    "bad",
    [
        [text(ATTACK, "reasoning_content")],
        [text(ATTACK, "refusal")],
        [text(ATTACK, "something_new")],
        [arguments(piece) for piece in pieces('{"a": "' + ATTACK + '"}', 3)],
        [arguments(piece) for piece in pieces('{"a": "\\u0069gnore all previous"}', 3)],
        [arguments("{}", name=ATTACK)],
        [chunk({"function_call": {"name": "f", "arguments": ATTACK}}, base=BASE)],
        [chunk({"thinking_blocks": [{"type": "thinking", "thinking": ATTACK, "signature": "s"}]}, base=BASE)],
        [chunk({"native_blocks": [{"type": "x", "content": [{"stdout": ATTACK}]}]}, base=BASE)],
        [chunk({"content": [{"type": "text", "text": ATTACK}]}, base=BASE)],
        [{**BASE, "choices": [{"index": 0, "delta": {}, "message": {"content": ATTACK}}]}],
        [{**BASE, "choices": [], "search_results": [{"title": ATTACK}]}],
        [{**BASE, "choices": [{"index": 1, "delta": {"content": ATTACK}}]}],
    ],
)
@pytest.mark.parametrize("action", ["block", "redact"])
async def test_it_is_judged_wherever_an_answer_says_it(bad: list[JsonObject], action: str) -> None:
    heard = await hear(output_guards(guard(action=action)), [*answer(SAFE)[:-1], *bad, END])
    assert MARK not in str(heard.chunks).replace("\\u0069", "i")
    assert MARK not in str(heard.message)
    assert heard.text.startswith(SAFE)
    assert heard.ends in (["content_filter"], ["stop"])


async def test_redacted_text_stands_where_it_stood_without_its_tokens() -> None:
    said = [text(piece) for piece in ("Well. ", "Please ignore all ", "previous. ", "Bye.")]
    for each in said:
        each["choices"][0]["logprobs"] = {"content": [{"token": "secret"}]}
    about = context()
    heard = await hear(output_guards(guard(action="redact", placeholder="[x]")), [*said, END], about)
    assert (heard.text, heard.ends) == ("Well. [x] Bye.", ["stop"])
    assert about.verdicts[0].outcome == "redact"
    changed = [each for each in heard.chunks if "[x]" in str(each)]
    assert all(each["choices"][0]["logprobs"] is None for each in changed)


async def test_the_next_window_is_read_while_one_is_judged() -> None:
    classifier = ScriptedClassifier(hold=asyncio.Event())
    read = 0

    async def source() -> AsyncGenerator[list[JsonObject], None]:
        nonlocal read
        async for batch in stream(answer(SAFE * 10)):
            yield batch
            read += 1

    hearing = asyncio.ensure_future(hear(output_guards(guard(classifier)), source()))
    await until(lambda: read == len(answer(SAFE * 10)))
    assert len(classifier.asked) == 1
    assert classifier.hold is not None
    classifier.hold.set()
    heard = await hearing
    assert heard.text == SAFE * 10
    assert len(classifier.asked) == 2  # all that came meanwhile is one window


async def test_an_answer_is_not_read_on_without_end() -> None:
    classifier = ScriptedClassifier(hold=asyncio.Event())
    read = 0

    async def endless() -> AsyncGenerator[list[JsonObject], None]:
        nonlocal read
        while True:
            read += 1
            yield [text("more ")]
            await asyncio.sleep(0)

    hearing = asyncio.ensure_future(hear(output_guards(guard(classifier)), endless()))
    await until(lambda: bool(classifier.asked) and read > 1024)
    for _ in range(200):
        await asyncio.sleep(0)
    stopped = read
    for _ in range(200):
        await asyncio.sleep(0)
    assert read == stopped
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


async def test_half_a_sentence_is_not_held_back_for_ever() -> None:
    async def stalling() -> AsyncGenerator[list[JsonObject], None]:
        yield [text("Half a sentence")]
        await asyncio.Event().wait()

    guards = output_guards(guard(windowing=Windowing(max_wait_s=0.01)))
    transform = guards.transform(request(user("x"), stream=True), context())
    assert transform is not None
    async with aclosing(transform(stalling())) as batches:
        assert await soon(anext(batches)) == [text("Half a sentence")]


@pytest.mark.parametrize("streamed", [True, False])
async def test_without_the_model_nothing_unjudged_comes_out(streamed: bool) -> None:
    class GoneLater(ScriptedClassifier):
        async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
            if any("two" in text for text in texts):
                raise ModelUnavailable("gone")
            return await super().classify(texts, timeout_s=timeout_s)

    recorded = RecordedMetrics()
    said = answer("The sentence one. The sentence two. ")
    heard = await hear(output_guards(guard(GoneLater()), recorded=recorded), said, streamed=streamed)
    assert isinstance(heard.error, GuardrailUnavailable)
    assert heard.text == ("The sentence one. Th" if streamed else "")  # whole chunks
    assert recorded.count(semconv.GUARD_VERDICTS, "unavailable") == 1
    about = context()
    heard = await hear(output_guards(guard(GoneLater(), on_error="allow")), said, about, streamed=streamed)
    assert (heard.error, heard.text) == (None, "The sentence one. The sentence two. ")
    assert about.degraded == ["guardrail"]


async def test_an_answer_that_breaks_off_is_judged_to_its_end() -> None:
    async def broken(said: list[JsonObject]) -> AsyncGenerator[list[JsonObject], None]:
        async for batch in stream(said):
            yield batch
        raise UpstreamProtocolError("It broke.")

    heard = await hear(output_guards(guard()), broken([text(SAFE), text("And half")]))
    assert (heard.text, str(heard.error)) == (f"{SAFE}And half", "It broke.")
    heard = await hear(output_guards(guard()), broken([text(SAFE), text(ATTACK)]))
    assert (heard.text, heard.error) == (f"{SAFE}\n\nNo.", None)
    heard = await hear(output_guards(guard()), broken([text("Half")]))
    assert (heard.batches, str(heard.error)) == ([], "It broke.")  # another upstream may do better


async def test_a_client_that_leaves_closes_the_answer() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncGenerator[list[JsonObject], None]:
        try:
            yield [text(SAFE)]
            await asyncio.Event().wait()
        finally:
            closed.set()

    recorded = RecordedMetrics()
    transform = output_guards(guard(), recorded=recorded).transform(request(user("x"), stream=True), context())
    assert transform is not None
    batches = transform(source())
    assert await soon(anext(batches)) == [text(SAFE)]
    await batches.aclose()
    assert closed.is_set()
    assert recorded.count(semconv.GUARD_VERDICTS, "jailbreak", "pass") == 1


@pytest.mark.parametrize("policy", [{"shadow": True}, {"action": "annotate"}])
async def test_who_only_takes_notes_holds_nothing_back(policy: dict[str, object]) -> None:
    classifier, about = ScriptedClassifier(hold=asyncio.Event()), context()
    transform = output_guards(guard(classifier, **policy)).transform(request(user("x"), stream=True), about)
    assert transform is not None
    said = answer(f"{SAFE}{ATTACK}")
    batches = transform(stream(said))
    out = [await soon(anext(batches)) for _ in said]
    assert [each for batch in out for each in batch] == said
    assert classifier.hold is not None
    classifier.hold.set()
    with pytest.raises(StopAsyncIteration):
        await anext(batches)
    assert about.verdicts[0].outcome == ("shadow" if "shadow" in policy else "annotate")


async def test_without_guards_there_is_nothing_to_look_at() -> None:
    assert output_guards().transform(request(user("x")), context()) is None
