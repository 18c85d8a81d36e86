from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.dialects.canonical import chunk, chunks_of
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import FilterRejected, FilterUnavailable
from router.filters.base import Blocked, Filter, LocalAnswer, Rejection
from router.filters.chain import FilterChain
from router.filters.policy import FilterPolicy, PolicedFilter
from tests.fakes.counters import RecordedMetrics
from tests.filters.exchanges import BASE, Source, context, finish_of, request, said, text_of, texts_of, through, whole
from tests.filters.scripted import ScriptedAnswer, ScriptedFilter, saying


def _policed(filter_: Filter, **policy: Any) -> PolicedFilter:
    return PolicedFilter(filter_, FilterPolicy(**policy), RecordedMetrics().metrics)


def _inputs(*filters: Filter) -> FilterChain:
    return FilterChain([_policed(each) for each in filters], [])


def _outputs(*filters: Filter) -> FilterChain:
    return FilterChain([], [_policed(each) for each in filters])


def _adding(word: str) -> Callable[[Any], Any]:
    def add(asked: Any) -> Any:
        return asked.replace(messages=[*asked.messages, {"role": "user", "content": word}])

    return add


def _appending(word: str) -> ScriptedFilter:
    return ScriptedFilter(word, answers=lambda: ScriptedAnswer(saying(lambda text: text + word)))


async def test_input_filters_run_in_order_and_each_sees_what_the_one_before_made() -> None:
    first, second = ScriptedFilter("a", on=_adding("a")), ScriptedFilter("b", on=_adding("b"))
    changed = await _inputs(first, second).apply_request(request(), context())
    assert not isinstance(changed, LocalAnswer)
    assert [message["content"] for message in changed.messages] == ["Hi", "a", "b"]
    assert len(second.seen[0].messages) == 2


async def test_a_request_that_nothing_changes_stays_the_same() -> None:
    asked = request()
    assert await _inputs(ScriptedFilter()).apply_request(asked, context()) is asked


async def test_a_rejection_has_the_filters_status_and_message_and_ends_the_chain() -> None:
    after = ScriptedFilter("after")
    chain = _inputs(ScriptedFilter("guard", on=lambda _: Rejection("Not about that.", 422)), after)
    asking = context()
    with pytest.raises(FilterRejected, match=r"Not about that\.") as caught:
        await chain.apply_request(request(), asking)
    assert (caught.value.status, caught.value.code) == (422, "filter_rejected")
    assert asking.response_headers == {"x-trident-filter": "guard"}
    assert after.seen == []


@pytest.mark.parametrize("status", [200, 399, 500])
def test_a_rejection_is_a_client_error(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 499"):
        Rejection("No.", status)


async def test_a_filter_may_answer_itself() -> None:
    after = ScriptedFilter("after")
    chain = _inputs(ScriptedFilter("faq", on=lambda asked: LocalAnswer.saying("At nine.", asked)), after)
    answer = await chain.apply_request(request(), context())
    assert isinstance(answer, LocalAnswer)
    assert answer.completion["choices"][0]["message"]["content"] == "At nine."
    assert after.seen == []


async def test_output_filters_run_in_reverse_order() -> None:
    transform = _outputs(_appending("1"), _appending("2")).transform(request(), context())
    assert text_of(await through(transform, said("x", "y"))) == "x21y21"


def test_an_empty_chain_is_false_and_looks_at_no_answer() -> None:
    chain = FilterChain([], [])
    assert not chain
    assert chain.transform(request(), context()) is None
    assert _inputs(ScriptedFilter()).transform(request(), context()) is None


async def test_a_filter_that_does_not_look_at_answers_lets_them_through() -> None:
    transform = _outputs(ScriptedFilter()).transform(request(), context())
    assert await through(transform, said("x")) == said("x")


async def test_every_try_at_an_upstream_gets_filters_of_its_own() -> None:
    filter_ = _appending("!")
    transform = _outputs(filter_).transform(request(), context())
    assert text_of(await through(transform, said("a"))) == text_of(await through(transform, said("a"))) == "a!"
    assert len(filter_.made) == 2


async def test_what_is_held_back_comes_at_the_end_through_the_filters_behind() -> None:
    kept: list[Any] = []
    keeper = ScriptedFilter("k", answers=lambda: ScriptedAnswer(lambda chunks: kept.extend(chunks) or [], lambda: kept))
    out = await through(_outputs(_appending("!"), keeper).transform(request(), context()), said("a", "b"))
    assert (len(out), text_of(out), finish_of(out)) == (1, "a!b!", "stop")


def _blocking(on: str, name: str = "guard") -> ScriptedFilter:
    def feed(chunks: list[Any]) -> Any:
        return Blocked("I stop here.") if any(on in str(each) for each in chunks) else chunks

    return ScriptedFilter(name, answers=lambda: ScriptedAnswer(feed))


async def test_a_blocked_stream_ends_with_the_refusal_and_lets_go_of_the_upstream() -> None:
    source, asking = Source(said("fine ", "bad", "more")), context()
    transform = _outputs(_blocking("bad")).transform(request(), asking)
    assert transform is not None
    out = [batch async for batch in transform(source.chunks())]
    assert text_of(out) == "fine \n\nI stop here."
    assert finish_of(out) == "content_filter"
    assert source.closed
    assert asking.response_headers == {"x-trident-filter": "guard"}


async def test_a_blocked_whole_answer_is_only_the_refusal() -> None:
    out = await through(_outputs(_blocking("bad")).transform(request(), context()), whole("fine, then bad"))
    assert (text_of(out), finish_of(out)) == ("I stop here.", "content_filter")


async def test_what_filters_behind_a_block_hold_comes_before_the_refusal() -> None:
    kept: list[Any] = []
    keeper = ScriptedFilter("k", answers=lambda: ScriptedAnswer(lambda chunks: kept.extend(chunks) or [], lambda: kept))
    out = await through(_outputs(keeper, _blocking("bad")).transform(request(), context()), said("fine", "bad"))
    assert (text_of(out), finish_of(out)) == ("fine\n\nI stop here.", "content_filter")


async def test_a_refusal_may_be_blocked_by_a_filter_behind() -> None:
    outer = _blocking("stop", "outer")
    out = await through(_outputs(outer, _blocking("bad")).transform(request(), context()), said("bad"))
    assert (text_of(out), finish_of(out)) == ("I stop here.", "content_filter")


async def test_an_answer_may_be_blocked_at_its_end() -> None:
    kept: list[Any] = []
    keeper = ScriptedFilter(
        "k", answers=lambda: ScriptedAnswer(lambda chunks: kept.extend(chunks) or [], lambda: Blocked("No."))
    )
    out = await through(_outputs(keeper).transform(request(), context()), said("x"))
    assert (text_of(out), finish_of(out)) == ("No.", "content_filter")


@pytest.mark.parametrize(
    ("dialect", "ending"),
    [
        ("openai_chat", b'"finish_reason":"content_filter"'),
        ("anthropic_messages", b'"stop_reason":"refusal"'),
        ("openai_responses", b'"reason":"content_filter"'),
    ],
)
async def test_a_refusal_is_well_formed_in_every_dialect(dialect: Any, ending: bytes) -> None:
    asked = request(dialect=dialect, stream=True)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    batches = [*said("fine ", finish=False), [chunk({"tool_calls": [call]}, base=BASE)], *said("bad")]
    out = await through(_outputs(_blocking("bad")).transform(asked, context()), batches)
    encoder = CLIENT_DIALECTS[asked.dialect].stream_encoder(asked)
    events = b"".join([encoder.feed(each) for batch in out for each in batch]) + encoder.finish()
    assert ending in events
    assert b"I stop here." in events
    observer = CLIENT_DIALECTS[asked.dialect].stream_observer("test")
    observer.watch(events)
    assert observer.finished


async def test_a_reader_that_leaves_lets_go_of_the_upstream() -> None:
    source = Source(said("a", "b", "c"))
    transform = _outputs(_appending("!")).transform(request(), context())
    assert transform is not None
    out = transform(source.chunks())
    await anext(out)
    await out.aclose()
    assert source.closed


async def test_an_upstream_that_fails_fails_behind_the_filters_too() -> None:
    async def failing() -> Any:
        yield said("a")[0]
        raise FilterUnavailable("gone")

    transform = _outputs(_appending("!")).transform(request(), context())
    assert transform is not None
    with pytest.raises(FilterUnavailable, match="gone"):
        [batch async for batch in transform(failing())]


async def test_empty_batches_are_not_passed_on() -> None:
    silent = ScriptedFilter(answers=lambda: ScriptedAnswer(lambda _: []))
    assert await through(_outputs(silent).transform(request(), context()), said("a", "b")) == []


async def test_a_local_answer_goes_through_the_output_filters_like_any_other() -> None:
    answer = LocalAnswer.saying("Hi.", request())
    transform = _outputs(_appending("!")).transform(request(), context())
    assert texts_of(await through(transform, [chunks_of(answer.completion)])) == ["Hi.!"]
