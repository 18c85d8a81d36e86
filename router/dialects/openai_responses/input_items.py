"""Input items of a request as canonical messages.

The API lists what a model said as separate items (reasoning, message, function calls); the chat completions have one
assistant message for each turn. So items of the model's are gathered until something follows that is not the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.dialects.canonical import JsonObject
from router.dialects.openai_responses.content import decode_content, plain_text
from router.dialects.openai_responses.fields import Losses, invalid, read_object, read_text
from router.dialects.openai_responses.reasoning import decode_item, is_own

_ROLES = frozenset({"system", "developer", "user", "assistant"})
# ``id`` and ``status`` belong to the answer that an item comes from, and say nothing to a model.
_MESSAGE_FIELDS = frozenset({"type", "role", "content", "id", "status", "phase"})
_CALL_FIELDS = frozenset({"type", "call_id", "name", "arguments", "id", "status"})
_OUTPUT_FIELDS = frozenset({"type", "call_id", "output", "id", "status"})


class History:
    """Takes the items of ``input`` in order; ``finish`` gives the messages that they amount to.

    ``own_reasoning`` has the indices of items that only other providers can read.
    """

    __slots__ = ("_index", "_losses", "_turn", "messages", "own_reasoning")

    def __init__(self, losses: Losses) -> None:
        self.messages: list[JsonObject] = []
        self.own_reasoning: list[int] = []
        self._losses = losses
        self._turn: JsonObject | None = None
        self._index = 0

    def add(self, index: int, item: object) -> None:
        """Take one item. Raises ``InvalidRequest`` that names the field."""
        self._index = index
        path = f"input[{index}]"
        known = read_object(item, path)
        kind = known.get("type")
        if kind is None:
            kind = "message" if "role" in known else "item_reference"
        add = _ITEMS.get(read_text(kind, f"{path}.type"))
        if add is None:
            self._add_foreign(known, path)
        else:
            add(self, known, path)

    def finish(self) -> list[JsonObject]:
        """The messages. Reasoning that led to nothing gets an empty text, because a message has to say something."""
        for message in self.messages:
            if message["role"] == "assistant" and not message.keys() & {"content", "refusal", "tool_calls"}:
                message["content"] = ""
        return self.messages

    def _say(self, message: JsonObject) -> None:
        self._turn = None
        self.messages.append(message)

    def _assistant(self, *, complete: bool) -> JsonObject:
        """The assistant message that is being gathered; another one where it already has its text (``complete``).

        Text beside calls that still wait for their results stays with them: nothing may come between the two.
        """
        turn = self._turn
        if turn is None or (complete and "tool_calls" not in turn and ("content" in turn or "refusal" in turn)):
            turn = self._turn = {"role": "assistant"}
            self.messages.append(turn)
        return turn

    def _add_message(self, item: JsonObject, path: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise invalid(f"{path}.role", f"one of {', '.join(sorted(_ROLES))}")
        self._losses.refuse_unread(item, _MESSAGE_FIELDS, path)
        if item.get("phase"):
            self._losses.untranslated.append(f"{path}.phase")
        content = decode_content(item.get("content"), f"{path}.content", self._losses)
        if role != "assistant":
            self._say({"role": role, "content": content})
            return
        turn = self._assistant(complete=True)
        text, refusal = _spoken(content)
        if text:
            turn["content"] = text if "content" not in turn else [*_parts(turn["content"]), *_parts(text)]
        if refusal:
            turn["refusal"] = turn.get("refusal", "") + refusal
        if not text and not refusal:
            turn.setdefault("content", "")

    def _add_call(self, item: JsonObject, path: str) -> None:
        self._losses.refuse_unread(item, _CALL_FIELDS, path)
        function = {name: read_text(item.get(name), f"{path}.{name}") for name in ("name", "arguments")}
        call = {"id": read_text(item.get("call_id"), f"{path}.call_id"), "type": "function", "function": function}
        self._assistant(complete=False).setdefault("tool_calls", []).append(call)

    def _add_output(self, item: JsonObject, path: str) -> None:
        self._losses.refuse_unread(item, _OUTPUT_FIELDS, path)
        call_id = item.get("call_id")
        if call_id is None:
            self._losses.refuse(f"{path}.call_id")  # a hosted tool's output, which only its provider can place
        else:
            read_text(call_id, f"{path}.call_id")
        content = decode_content(item.get("output"), f"{path}.output", self._losses)
        self._say({"role": "tool", "tool_call_id": call_id or "", "content": content})

    def _add_reasoning(self, item: JsonObject, path: str) -> None:
        fields = decode_item(item, path)
        if is_own(item):
            self.own_reasoning.append(self._index)
        turn = self._assistant(complete=True)
        turn.setdefault("thinking_blocks", []).extend(fields.get("thinking_blocks", ()))
        if not turn["thinking_blocks"]:
            del turn["thinking_blocks"]
        if text := fields.get("reasoning_content"):
            turn["reasoning_content"] = turn.get("reasoning_content", "") + text

    def _add_foreign(self, item: JsonObject, path: str) -> None:
        self._losses.refuse(f"{path}.type" if item.get("type") else path)
        if text := plain_text(item):
            self._say({"role": "tool", "tool_call_id": "", "content": text})


def _spoken(content: str | list[JsonObject]) -> tuple[str | list[JsonObject], str]:
    """An assistant's text and refusal."""
    if isinstance(content, str):
        return content, ""
    said = [part for part in content if part["type"] != "refusal"]
    text: str | list[JsonObject] = said
    if len(said) == 1 and said[0].keys() == {"type", "text"}:
        text = said[0]["text"]
    return text, "".join(part["refusal"] for part in content if part["type"] == "refusal")


def _parts(content: str | list[JsonObject]) -> list[JsonObject]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


_ITEMS: Mapping[str, Callable[[History, JsonObject, str], None]] = {
    "message": History._add_message,
    "function_call": History._add_call,
    "function_call_output": History._add_output,
    "reasoning": History._add_reasoning,
}
