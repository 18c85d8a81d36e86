"""The benchmarks of guards: what they compute, and that a wrong answer is no measurement."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.guards import LISTENERS, Round, summarise
from benchmarks.guards_setting import PORTS, Exchange, PacedAgent, Said, numbers, words_of
from benchmarks.guards_streams import Stream, row_of, stream_of
from benchmarks.targets import FOLDER, TargetError
from router.aio import timeout
from router.config import load_config

WORDS = 30


def medians(together: float) -> dict[str, float]:
    return {"plain": 1.0, "jailbreak": 5.0, "moderation": 6.0, "routing": 11.0, "together": together}


def test_a_round_compares_what_is_added_with_the_slowest_alone() -> None:
    assert Round(medians(13.0)).ratio == pytest.approx(1.2)
    assert Round(medians(13.2)).whole_ratio == pytest.approx(1.2)


def test_a_report_has_the_ratio_of_each_round_and_their_median() -> None:
    report = summarise([Round(medians(together)) for together in (13.0, 12.0, 21.0)], 5)
    assert (report.ratio, report.ratios) == (1.2, (1.2, 1.1, 2.0))
    assert set(report.p50_ms) == set(LISTENERS)


def test_a_stream_in_windows_has_the_pace_of_a_plain_one_and_a_lag() -> None:
    said = [0.1 * place for place in range(5)]
    plain = stream_of(0.0, said, said)
    held = stream_of(0.0, said, [0.2, 0.2, 0.2, 0.4, 0.4])
    assert (plain.first_word_ms, plain.words_per_s) == (0.0, pytest.approx(10.0))
    assert held == Stream(200.0, pytest.approx(20.0), pytest.approx((200.0, 100.0, 0.0, 100.0, 0.0)))
    row = row_of([[held], [held]], [[plain], [plain]])
    assert (row.added_first_word_ms, row.pace, row.lag_p50_ms, row.last_lag_p50_ms) == (200.0, 2.0, 100.0, 0.0)


def test_the_listeners_are_those_of_the_configuration() -> None:
    config = load_config(FOLDER / "config" / "guards.yaml").config
    assert {listener.name: listener.port for listener in config.listeners} == PORTS


def test_no_request_says_what_another_one_says() -> None:
    number = numbers()
    first, second = (words_of(number(), 150) for _ in range(2))
    assert len(first) == 150
    runs = [{"".join(words[at : at + 20]) for at in range(130)} for words in (first, second)]
    assert not runs[0] & runs[1]


async def test_every_word_is_heard_after_it_was_said_and_a_wrong_answer_is_none() -> None:
    loop = asyncio.get_running_loop()
    said = Said(WORDS, 0.001)
    body = b'{"model":"mock-7","stream": true}'
    request = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with await loop.create_server(lambda: PacedAgent(said), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, exchange = await loop.create_connection(lambda: Exchange(request), "127.0.0.1", port)
        async with timeout(20):
            await exchange.done
        exchange.close()
    heard = exchange.heard(words_of(7, WORDS))
    assert len(said.times[7]) == len(heard) == WORDS
    assert all(there >= spoken for spoken, there in zip(said.times[7], heard, strict=True))
    assert heard == sorted(heard)
    with pytest.raises(TargetError, match="a wrong answer"):
        exchange.heard(words_of(8, WORDS))
    with pytest.raises(TargetError, match="a wrong answer"):
        exchange.heard(words_of(7, WORDS + 1))
