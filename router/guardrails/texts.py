"""What guards read of a request, by scope (docs/guardrails.md has the table)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from router.context import Turn
from router.dialects.canonical import ChatRequest
from router.guardrails.messages import TOOL, USER, Said, joined, read_message
from router.guardrails.policy import Scope
from router.guardrails.reading import TextReader, all_strings, is_prose

_MAX_PASSAGES = 64  # a request's messages are judged one by one up to here; beyond, the oldest are packed together
_PACK_CHARS = 4_000
_RECENT_MESSAGES = 4  # so many of the user's newest messages are judged together, too
_SEAM_CHARS = 200  # of each end of a long message that is judged together with its neighbours
_TURNS = 8  # of the conversation that a question of topic is asked about
_TURN_CHARS = 4_000

# What the application says to the model, besides messages.
_DEFINITIONS = ("functions", "metadata", "prediction", "response_format", "tool_choice", "tools", "web_search_options")
# What no model reads.
_SETTINGS = frozenset(
    {
        *("messages", "audio", "function_call", "logit_bias", "modalities", "model", "prompt_cache_key", "stop"),
        *("reasoning_effort", "routing_preferences", "safety_identifier", "service_tier", "stream_options", "user"),
        *("verbosity", *_DEFINITIONS),
    }
)


@dataclass(frozen=True, slots=True)
class Passage:
    """One text to judge, and the indices of the messages that it is from; none where it stands elsewhere."""

    text: str
    messages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What one guard judges: ``chars`` and ``messages`` count it, ``turns`` end with the newest user message."""

    passages: tuple[Passage, ...]
    turns: tuple[Turn, ...] = ()
    chars: int = 0
    messages: int = 0
    unseen: tuple[str, ...] = ()


class RequestTexts:
    """The texts of one request; each scope is put together once."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._said = [read_message(index, message) for index, message in enumerate(request.messages)]
        self._subjects: dict[Scope, Subject] = {}

    def subject(self, scope: Scope) -> Subject:
        """What a guard of this scope judges."""
        if scope not in self._subjects:
            self._subjects[scope] = self._put_together(scope)
        return self._subjects[scope]

    def _put_together(self, scope: Scope) -> Subject:
        view, said = _VIEWS[scope], self._in_scope(scope)
        single = [Passage(text, (each.index,)) for each in said if (text := view(each))]
        names = dict.fromkeys(each.name for each in said if each.name and scope != "tool_results")
        elsewhere, unseen = self._elsewhere
        passages = [Passage(name) for name in names] + [Passage(text) for text in elsewhere]
        if scope == "all":
            passages += [Passage(text) for text in self._definitions]
        passages += single if len(single) <= _MAX_PASSAGES else _packed(single)
        kinds = dict.fromkeys(kind for each in said for kind in each.unseen)
        return Subject(
            (*passages, *_together(single, said)),
            self._turns,
            chars=sum(len(passage.text) for passage in passages),
            messages=len(self._said),
            unseen=tuple({**kinds, **dict.fromkeys(unseen)}),
        )

    def _in_scope(self, scope: Scope) -> Sequence[Said]:
        if scope != "newest_user":
            return self._said
        newest = self._newest_user
        if newest is None:
            return ()
        first = newest
        while first > 0 and self._said[first - 1].role in USER:
            first -= 1
        return self._said[first : newest + 1]

    @cached_property
    def _newest_user(self) -> int | None:
        return next((each.index for each in reversed(self._said) if each.role in USER), None)

    @cached_property
    def _definitions(self) -> list[str]:
        reader, payload = TextReader(), self._request.payload
        defined = [payload.get(name) for name in _DEFINITIONS]
        items = [item for value in defined for item in (value if isinstance(value, list) else [value])]
        return [text for item in items if (text := "\n".join(reader.texts(item)))]

    @cached_property
    def _elsewhere(self) -> tuple[list[str], tuple[str, ...]]:
        """What stands in no message and is nothing that is known: judged in every scope, wherever it comes from."""
        request, reader = self._request, TextReader()
        unknown = {name: value for name, value in request.payload.items() if name not in _SETTINGS}
        texts = [text for text in reader.texts(unknown) if is_prose(text)]
        if request.refused and request.dialect != "openai_chat":
            # The canonical form does not have all of the body, and a provider of the client's dialect gets the body.
            known = all_strings(request.payload)
            texts += [
                text
                for part in (request.native, dict(request.extras))
                for text in reader.texts(part)
                if text not in known and is_prose(text)
            ]
            for each in self._said:
                for kind in each.unseen:
                    reader.unseen.pop(kind, None)
        return list(dict.fromkeys(texts)), tuple(reader.unseen)

    @cached_property
    def _turns(self) -> tuple[Turn, ...]:
        end = 0 if self._newest_user is None else self._newest_user + 1
        turns = [
            Turn(each.role, _cut(each.own))
            for each in self._said[:end]
            if each.role in ("user", "assistant")
            if each.own
        ]
        return tuple(turns[-_TURNS:]) if turns and turns[-1].role == "user" else ()


def _of_user(said: Said) -> str:
    return joined(filter(None, (said.own, said.rest))) if said.role in USER else ""


def _of_conversation(said: Said) -> str:
    if said.role in USER | TOOL:
        return joined(filter(None, (said.own, said.calls, said.rest)))
    texts = (said.retrieved, said.calls, said.rest) if said.role == "assistant" else (said.rest,)
    return joined(filter(None, texts))


def _of_tools(said: Said) -> str:
    return said.retrieved


def _of_all(said: Said) -> str:
    texts = (said.own, said.retrieved if said.role == "assistant" else "", said.calls, said.rest)
    return joined(filter(None, texts))


_VIEWS: Mapping[Scope, Callable[[Said], str]] = {
    "newest_user": _of_user,
    "conversation": _of_conversation,
    "tool_results": _of_tools,
    "all": _of_all,
}


def _packed(passages: Sequence[Passage]) -> list[Passage]:
    """All but the newest passage in packs, from the oldest on, so that the packs stay the same while more follow."""
    packs: list[Passage] = []
    pack: list[Passage] = []
    size = 0
    for passage in passages[:-1]:
        if pack and size + len(passage.text) > _PACK_CHARS:
            packs.append(_one(pack, "\n"))
            pack, size = [], 0
        pack.append(passage)
        size += len(passage.text)
    return [*packs, _one(pack, "\n"), passages[-1]]


def _one(passages: Sequence[Passage], separator: str) -> Passage:
    indices = dict.fromkeys(index for passage in passages for index in passage.messages)
    return Passage(separator.join([passage.text for passage in passages]), tuple(indices))


def _together(single: Sequence[Passage], said: Sequence[Said]) -> Iterator[Passage]:
    """What somebody says in several messages: messages in a row, and the newest of the user's, whatever is between.

    Every message has been judged by itself, so that of long ones only what is near their ends is judged again.
    """
    roles = {each.index: "tool" if each.role in TOOL else each.role for each in said}
    row: list[Passage] = []
    if len(single) <= _MAX_PASSAGES:  # packs are together already
        for passage in single:
            (index,) = passage.messages
            if row and (index - 1 != row[-1].messages[0] or roles[index] != roles[index - 1]):
                yield from _seams(row)
                row = []
            row.append(passage)
    recent = [passage for passage in single[-_MAX_PASSAGES:] if roles[passage.messages[0]] in USER][-_RECENT_MESSAGES:]
    if recent != row:
        yield from _seams(recent)
    yield from _seams(row)


def _seams(passages: Sequence[Passage]) -> Iterator[Passage]:
    """``passages`` as one text, cut where a long one's middle is left out."""
    if len(passages) < 2:
        return
    seam: list[Passage] = []
    for passage in passages:
        if len(passage.text) <= 2 * _SEAM_CHARS:
            seam.append(passage)
            continue
        yield from [_one([*seam, Passage(passage.text[:_SEAM_CHARS], passage.messages)], " ")] if seam else []
        seam = [Passage(passage.text[-_SEAM_CHARS:], passage.messages)]
    if len(seam) > 1:
        yield _one(seam, " ")


def _cut(text: str) -> str:
    """``text`` without its middle where it is long: what somebody wants stands at the beginning or at the end."""
    half = _TURN_CHARS // 2
    return text if len(text) <= _TURN_CHARS else f"{text[:half]}…{text[-half:]}"
