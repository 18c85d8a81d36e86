"""Taking out what a guard found: the bad sentences, or the whole text where no sentence of it is bad by itself.

Only text that the body has in one place can be replaced: contents of messages and arguments of tool calls. What stands
elsewhere stays, so that whoever redacts has to judge again what became of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias

import orjson

from router.dialects.canonical import ChatRequest, JsonObject
from router.guardrails.engine import Guard, judge_one
from router.guardrails.texts import Passage, Subject

# Which of some texts are bad.
FindBad: TypeAlias = Callable[[Sequence[str]], Awaitable[Set[str]]]

# Full stops and the like, the ideographic ones too, with closing quotation marks and brackets.
_SENTENCES = re.compile(r"[^.!?\u3002\uff01\uff1f\n]*(?:[.!?\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]]*\s*|\n+|$)")


def finding_bad(guard: Guard, deadline: float) -> FindBad:
    """Asks ``guard`` which texts are bad: all of them while nobody can say, because something in them is."""

    async def find_bad(texts: Sequence[str]) -> set[str]:
        subject = Subject(tuple([Passage(text) for text in texts]))
        judgement = await judge_one(guard, subject, timeout_s=deadline - time.monotonic())
        if judgement.outcome in ("unavailable", "allowed_unchecked"):
            return set(texts)
        return {passage.text for passage in judgement.finding.hits}

    return find_bad


def sentences(text: str) -> list[str]:
    """``text`` in sentences and lines, each with the space behind it; together they are the text again."""
    return [sentence for sentence in _SENTENCES.findall(text) if sentence]


async def redacted_texts(texts: Iterable[str], find_bad: FindBad, placeholder: str) -> dict[str, str]:
    """The replacements of those of ``texts`` that have something bad in them."""
    cut = {text: sentences(text) for text in texts if text.strip()}
    bad = await find_bad(
        [*dict.fromkeys(part.strip() for parts in cut.values() for part in parts if part.strip()), *cut]
    )
    replaced = {}
    for text, parts in cut.items():
        new = "".join([_without(part, placeholder) if part.strip() in bad else part for part in parts])
        if new != text:
            replaced[text] = new
        elif text in bad:
            replaced[text] = placeholder
    return replaced


def message_texts(message: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a message that can be replaced."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (part["text"] for part in content if isinstance(part.get("text"), str))
    for call in _calls(message):
        yield from _argument_texts(_arguments_of(call))


def with_replacements(request: ChatRequest, messages: Iterable[int], replaced: Mapping[str, str]) -> ChatRequest:
    """``request`` with texts of these messages replaced; its native body is lost where something was."""
    changed: list[Any] = list(request.messages)
    for index in messages:
        changed[index] = _replaced(changed[index], replaced)
    if all(new is old for new, old in zip(changed, request.messages, strict=True)):
        return request
    return request.replace(messages=changed)


def _replaced(message: Mapping[str, Any], replaced: Mapping[str, str]) -> Mapping[str, Any]:
    if replaced.keys().isdisjoint(message_texts(message)):
        return message
    changed = {key: value for key, value in message.items() if key != "anthropic"}  # says again what is replaced
    content = message.get("content")
    if isinstance(content, str):
        changed["content"] = replaced.get(content, content)
    elif isinstance(content, list):
        changed["content"] = [_part(part, replaced) for part in content]
    if calls := _calls(message):
        changed["tool_calls"] = [_call(call, replaced) for call in calls]
    return changed


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, list) else []


def _part(part: JsonObject, replaced: Mapping[str, str]) -> JsonObject:
    text = part.get("text")
    if not isinstance(text, str) or text not in replaced:
        return part
    return {"type": "text", "text": replaced[text]}


def _call(call: Any, replaced: Mapping[str, str]) -> Any:
    arguments = _arguments_of(call)
    if replaced.keys().isdisjoint(_argument_texts(arguments)):
        return call
    function = {**call["function"], "arguments": orjson.dumps(_mapped(arguments, replaced)).decode()}
    return {key: function if key == "function" else value for key, value in call.items() if key != "anthropic"}


def _arguments_of(call: object) -> object:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(arguments, str):
        return None
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None


def _argument_texts(arguments: object) -> Iterator[str]:
    for _, _, text in _strings(arguments):
        yield text


def _mapped(arguments: object, replaced: Mapping[str, str]) -> object:
    """``arguments`` with strings replaced, in place."""
    for holder, key, text in list(_strings(arguments)):
        holder[key] = replaced.get(text, text)
    return arguments


def _strings(value: object) -> Iterator[tuple[Any, Any, str]]:
    """Every string in lists and objects, with the holder of it and where it is there."""
    stack = [value]
    while stack:  # no recursion: a client chooses how deep this goes
        holder = stack.pop()
        items: Iterable[tuple[Any, Any]] = ()
        if isinstance(holder, dict):
            items = holder.items()
        elif isinstance(holder, list):
            items = enumerate(holder)
        for key, item in items:
            if isinstance(item, str):
                yield holder, key, item
            else:
                stack.append(item)


def _without(sentence: str, placeholder: str) -> str:
    return placeholder + sentence[len(sentence.rstrip()) :]
