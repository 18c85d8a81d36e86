"""One message after the other: what each says, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from router.dialects.canonical import JsonObject
from router.signals.exchange import digest, role_of, text_of, tool_calls
from router.signals.lexicon import Lexicon
from router.signals.likeness import SAME_WORDS, Digest, compare, content_share, digest_words, is_part, is_substitution
from router.signals.plain_text import Sentence, own_words, sentences
from router.signals.report import GROUP_OF, Signal, SignalType, snippet
from router.signals.semantics import MAX_WORDS, SAME_MEANING, Meaning, cosine
from router.signals.state import MAX_ANSWERS, MAX_USER_TEXTS, ConversationState, Stretch, UserText
from router.signals.tool_calls import MAX_CALLS, is_drift, loop_of_call, remember_call, with_result
from router.signals.tool_results import read_tool_result
from router.signals.wording import Said, Situation, read_wording

_EMBEDDED_CHARS = 400
_MIN_CONTENT = 2
_QUESTION_CHARS = 600
_DIGEST_CHARS = 2_000  # of an answer
_CONTINUING_WORDS = 10
_WEAK_SHARE = 0.3  # of content words, where a phrase such as "in other words" stands, too
_RESTATED_WORDS = 4
_REPHRASED, _SAID_AGAIN, _RESTATED, _DRAGS = 0.75, 0.9, 0.65, 0.7


def read_message(
    state: ConversationState, message: JsonObject, lexicon: Lexicon, meaning: Meaning | None
) -> tuple[ConversationState, list[Signal]]:
    """The state after the conversation's next message, and the signals in that."""
    index = state.seen
    role = role_of(message)
    if role == "user":
        state, signals = _user(state, index, message, lexicon, meaning)
    elif role == "assistant":
        state, signals = _assistant(state, index, message, lexicon)
    elif role == "tool":
        state, signals = _tool(state, index, message)
    else:
        signals = []
    return replace(state, seen=index + 1, newest=digest(message)), signals


def embedded_text(message: JsonObject) -> str:
    """The text of a user message that the encoder is to be asked about; empty for what is better left alone."""
    text = own_words(text_of(message)).strip()[:_EMBEDDED_CHARS]
    return text if 0 < len(text.split()) <= MAX_WORDS else ""


def _user(
    state: ConversationState, index: int, message: JsonObject, lexicon: Lexicon, meaning: Meaning | None
) -> tuple[ConversationState, list[Signal]]:
    text = text_of(message)
    said = sentences(text, lexicon.normalizer)
    own = UserText(
        digest_words(" ".join(sentence.plain for sentence in said), lexicon.stopwords), _vector(message, meaning)
    )
    found = {one.type: one for one in read_wording(said, Situation(state.answered, state.asked), lexicon)}
    if not found and meaning is not None and own.vector is not None:
        found.update(_meant(said, own, state, meaning, lexicon))
    if state.answered:
        found.update(_said_before(said, own, state, found, lexicon))
        if not found and _is_restated(said, own, state):
            restated = Said("interaction.misalignment.correction", _RESTATED, said[0])
            found[restated.type] = restated
    signals = [Signal(one.type, index, round(one.confidence, 2), snippet(one.sentence.raw)) for one in found.values()]
    stretch = replace(state.stretch, turns=state.stretch.turns + 1, newest_stuck=False)
    if any(GROUP_OF[signal.type] == "interaction.satisfaction" for signal in signals):
        stretch = Stretch()
    state = replace(
        state,
        turns=state.turns + 1,
        user_texts=(*state.user_texts, own)[-MAX_USER_TEXTS:],
        calls=(),
        stretch=stretch,
    ).with_signals(signals)
    if state.stretch.drags:
        dragging = Signal("interaction.stagnation.dragging", index, _DRAGS, snippet(text))
        signals.append(dragging)
        state = replace(state, stretch=replace(state.stretch, reported_at=state.stretch.turns)).with_signals([dragging])
    return state, signals


def _assistant(
    state: ConversationState, index: int, message: JsonObject, lexicon: Lexicon
) -> tuple[ConversationState, list[Signal]]:
    text = text_of(message)
    signals: list[Signal] = []
    calls = state.calls
    for call in tool_calls(message):
        remembered = remember_call(call, index)
        loop = loop_of_call(calls, remembered)
        if loop is not None:
            signals.append(Signal(loop[0], index, loop[1], snippet(f"{call.name}({call.arguments[:200]})")))
        calls = (*calls, remembered)[-MAX_CALLS:]
    if text.strip():
        own = digest_words(lexicon.normalizer.normal(text[:_DIGEST_CHARS]), lexicon.stopwords)
        # What is said beside calls is often the same.
        if len(calls) == len(state.calls) and _is_repeated(own, state.answers):
            signals.append(Signal("interaction.stagnation.repetition", index, _SAID_AGAIN, snippet(text)))
        asked = _asks(text, lexicon)
        state = replace(state, answered=True, asked=asked, answers=(*state.answers, own)[-MAX_ANSWERS:])
    return replace(state, calls=calls).with_signals(signals), signals


def _tool(state: ConversationState, index: int, message: JsonObject) -> tuple[ConversationState, list[Signal]]:
    call_id = message.get("tool_call_id")
    call_id = call_id[:128] if isinstance(call_id, str) else ""
    asked = next((call for call in reversed(state.calls) if call.id == call_id and call.outcome is None), None)
    result = read_tool_result(
        text_of(message), is_error=message.get("is_error") is True, arguments_ok=asked is None or asked.arguments_ok
    )
    calls, place = with_result(state.calls, call_id, result)
    signals = []
    if result.type is not None:
        signals.append(Signal(result.type, index, result.confidence, snippet(result.said)))
    if place is not None and is_drift(calls, place):
        seen = f"{calls[place].name}: {result.said or 'nothing found'}"
        signals.append(Signal("execution.loops.parameter_drift", index, _REPHRASED, snippet(seen)))
    return replace(state, calls=calls).with_signals(signals), signals


def _said_before(
    said: list[Sentence], own: UserText, state: ConversationState, found: dict[SignalType, Said], lexicon: Lexicon
) -> Iterator[tuple[SignalType, Said]]:
    """That the user says again, or in other words, what was said before."""
    if len(own.digest.content) < _MIN_CONTENT:
        return
    likeness = {compare(own.digest, before.digest) for before in state.user_texts}
    same = max((share for kind, share in likeness if kind == "same"), default=0.0)
    if any(GROUP_OF[kind] == "interaction.satisfaction" for kind in found):
        return
    if same and len(own.digest.words) >= SAME_WORDS and not _is_continuing(said, own, lexicon):
        yield "interaction.stagnation.repetition", Said("interaction.stagnation.repetition", _SAID_AGAIN, said[0])
        return
    if same or "interaction.misalignment.rephrase" in found:
        return
    reworded = max((share for kind, share in likeness if kind == "reworded"), default=0.0) or _same_meaning(own, state)
    of_another = any(is_substitution(own.digest, before.digest) for before in state.user_texts)
    if of_another or any(lexicon.guards["additional"].search(sentence.plain) for sentence in said):
        reworded = 0.0  # it is about something else
    if not reworded and any(lexicon.guards["weak_rephrase"].search(sentence.plain) for sentence in said):
        share = max((content_share(own.digest, before.digest) for before in state.user_texts), default=0.0)
        reworded = _REPHRASED if share >= _WEAK_SHARE else 0.0
    if reworded:
        yield "interaction.misalignment.rephrase", Said("interaction.misalignment.rephrase", reworded, said[0])


def _is_restated(said: list[Sentence], own: UserText, state: ConversationState) -> bool:
    """Whether a few words, to an assistant that asked nothing, only stress what the user said before: "By month!"."""
    words = own.digest.words
    if state.asked or not own.digest.content or len(words) > _RESTATED_WORDS or any(each.question for each in said):
        return False
    return any(is_part(words, before.digest.words) for before in state.user_texts)


def _same_meaning(own: UserText, state: ConversationState) -> float:
    """How similar a message is, by its vector, to an earlier one that it does not only repeat with more added."""
    return max(
        (
            similarity
            for before in state.user_texts
            if own.vector is not None and before.vector is not None
            if (similarity := cosine(own.vector, before.vector)) >= SAME_MEANING
            if content_share(own.digest, before.digest) > 0 and not is_part(before.digest.words, own.digest.words)
        ),
        default=0.0,
    )


def _meant(
    said: list[Sentence], own: UserText, state: ConversationState, meaning: Meaning, lexicon: Lexicon
) -> Iterator[tuple[SignalType, Said]]:
    """What the encoder says that a message means, where phrases of that type would count."""
    nearest = meaning.similarity.nearest(own.vector or ())
    if nearest is None or not said or any(lexicon.guards["task"].search(sentence.plain) for sentence in said):
        return
    kind, similarity = nearest
    wording = next(one for one in lexicon.wordings if one.type == kind)
    fits = (state.answered or not wording.needs_answer) and (wording.questions or not said[-1].question)
    guards = [lexicon.guards["reported"], lexicon.guards["conditional"], wording.exceptions]
    guarded = any(guard.search(one.plain) for one in said for guard in guards if guard is not None)
    if fits and not guarded:
        yield kind, Said(kind, min(similarity, wording.confidence), said[0])


def _is_continuing(said: list[Sentence], own: UserText, lexicon: Lexicon) -> bool:
    """Whether it is natural to say it again: "continue", "another one"."""
    few = len(own.digest.words) <= _CONTINUING_WORDS
    return few and any(lexicon.guards["continuing"].search(sentence.plain) for sentence in said)


def _asks(text: str, lexicon: Lexicon) -> bool:
    """Whether the last words are an open question: a "no" to "is that correct?" corrects, to others it answers."""
    said = sentences(text[-_QUESTION_CHARS:], lexicon.normalizer)
    return bool(said) and said[-1].question and lexicon.guards["confirming"].search(said[-1].plain) is None


def _is_repeated(own: Digest, answers: tuple[Digest, ...]) -> bool:
    return len(own.words) >= SAME_WORDS and any(compare(own, before)[0] == "same" for before in answers)


def _vector(message: JsonObject, meaning: Meaning | None) -> tuple[float, ...] | None:
    if meaning is None:
        return None
    vector = meaning.embeddings.get(embedded_text(message))
    return None if vector is None else tuple(vector)
