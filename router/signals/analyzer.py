"""What a finished exchange says about its conversation. Pure: values in, values out; docs/signals.md has the table.

A conversation is read message by message, each once: what is remembered of it (``ConversationState``) has a bounded
size, and an exchange costs what its new messages cost, however long the conversation is. The newest answer is looked at
now and read when it comes back in the next request, as the client has it then; so an answer that is asked for again
leaves no trace.
"""

from __future__ import annotations

from dataclasses import replace

from router.signals.endings import read_ending
from router.signals.exchange import Exchange, digest, role_of
from router.signals.lexicon import lexicon
from router.signals.messages import embedded_text, read_message
from router.signals.quality import quality, score, summarize
from router.signals.report import Signal, SignalReport
from router.signals.semantics import Meaning
from router.signals.state import ConversationState, Reported

# How many of the newest messages are read where nothing is known of a conversation.
COLD_MESSAGES = 64


def analyze(
    exchange: Exchange, state: ConversationState | None, meaning: Meaning | None = None
) -> tuple[SignalReport, ConversationState]:
    """What ``exchange`` says, after what ``state`` remembers of its conversation; and what to remember then.

    A ``state`` that does not belong before this exchange (``continues``) is left aside. Never raises, whatever the
    messages are.
    """
    words = lexicon()
    first = _first_unread(exchange, state)
    conversation = state if state is not None and continues(state, exchange) else ConversationState(seen=first)
    new_from = _first_new(exchange, first)
    signals: list[Signal] = []
    earlier: list[Signal] = []
    for index in range(first, exchange.end):
        reported = conversation.reported
        conversation, found = read_message(conversation, exchange.messages[index - exchange.start], words, meaning)
        if index == reported.message_index:
            found = [signal for signal in found if signal.type not in reported.types]
        (signals if index >= new_from else earlier).extend(found)
    ending = read_ending(exchange)
    conversation = replace(conversation, reported=Reported()).with_signals(ending)
    with_answer = conversation
    if exchange.answer is not None:
        with_answer, found = read_message(conversation, exchange.answer, words, None)
        signals += found
        conversation = replace(
            conversation, reported=Reported(exchange.end, frozenset(signal.type for signal in found))
        )
    signals += ending
    value = score(with_answer.confidences)
    report = SignalReport(
        tuple(signals), tuple(earlier), summarize(with_answer.counts), quality(value), value, with_answer.turns
    )
    return report, conversation


def continues(state: ConversationState, exchange: Exchange) -> bool:
    """Whether ``exchange`` goes on where ``state`` ends: no gap between, and the last message known is where it was."""
    if not exchange.start <= state.seen <= exchange.end:
        return False
    if state.newest is None or state.seen == exchange.start:
        return True
    return digest(exchange.messages[state.seen - 1 - exchange.start]) == state.newest


def texts_to_embed(exchange: Exchange, state: ConversationState | None) -> tuple[str, ...]:
    """The user texts that :func:`analyze` looks up in ``Meaning.embeddings``."""
    first = _first_unread(exchange, state)
    unread = (exchange.messages[index - exchange.start] for index in range(first, exchange.end))
    texts = [embedded_text(message) for message in unread if role_of(message) == "user"]
    return tuple(dict.fromkeys(text for text in texts if text))


def _first_unread(exchange: Exchange, state: ConversationState | None) -> int:
    if state is not None and continues(state, exchange):
        return state.seen
    return max(exchange.start, exchange.end - COLD_MESSAGES)


def _first_new(exchange: Exchange, first: int) -> int:
    """Where what came after the model's last answer begins; an answer that the client began itself belongs to it."""
    index = exchange.end
    while index > first and role_of(exchange.messages[index - 1 - exchange.start]) == "assistant":
        index -= 1
    while index > first and role_of(exchange.messages[index - 1 - exchange.start]) != "assistant":
        index -= 1
    return index
