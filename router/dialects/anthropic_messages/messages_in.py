"""Messages of an Anthropic request in canonical form.

What another provider cannot read is carried all the same, as ``anthropic`` beside or instead of a translation, and is
noted. Text that the model is to read is always translated, so that guards and routing see it.

Anthropic                               canonical
user message with ``tool_result``s      one ``tool`` message each, then the user message with what else there is
assistant message                       one message; another begins where thinking follows text, which keeps their order
``image``, base64 or URL                ``image_url``, a data URL or the URL
``document``: PDF                       ``file``, its title the file name
``document``: text; ``search_result``   ``text``: title, source or context, and content, one below the other
other blocks, images and PDFs by id     carried with the text in them, refused by other dialects
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.dialects.anthropic_messages.fields import (
    Notes,
    json_list,
    json_object,
    object_field,
    text_field,
    wrong,
)
from router.dialects.anthropic_messages.thinking import block_to_canonical, is_foreign
from router.dialects.canonical import JsonObject, encode_json

DEFAULT_FILE_NAME = "document.pdf"
_DIRECT: JsonObject = {"type": "direct"}


def canonical_system(system: object, notes: Notes, at: str = "system") -> JsonObject:
    """The system message; its content is empty where there is nothing to say."""
    return {"role": "system", "content": system if isinstance(system, str) else _collapsed(_texts(system, at, notes))}


def canonical_message(message: object, at: str, notes: Notes) -> list[JsonObject]:
    """The canonical messages that one message amounts to. Raises ``InvalidRequest``."""
    holder = json_object(message, at)
    role, content = holder.get("role"), holder.get("content")
    if role not in ("user", "assistant", "system"):
        raise wrong(f"{at}.role", "'user', 'assistant' or 'system'")
    if len(holder) > 2:
        notes.refused += [f"{at}.{name}" for name in holder if name not in {"role", "content"}]
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not isinstance(content, list):
        raise wrong(f"{at}.content", "a string or a list of content blocks")
    if role == "system":
        return [canonical_system(content, notes, f"{at}.content")]
    return (_user if role == "user" else _assistant)(content, f"{at}.content", notes)


def canonical_part(block: object, at: str, notes: Notes) -> JsonObject:
    """One content block as a part of a message."""
    holder = json_object(block, at)
    kind = text_field(holder, "type", at)
    translate = _PARTS.get(kind)
    return translate(holder, at, notes) if translate else _carried(holder, at, notes)


def _texts(content: object, at: str, notes: Notes) -> list[JsonObject]:
    parts = []
    for position, block in enumerate(json_list(content, at)):
        if json_object(block, f"{at}[{position}]").get("type") != "text":
            raise wrong(f"{at}[{position}].type", "'text'")
        parts.append(_text(block, f"{at}[{position}]", notes))
    return parts


def _user(blocks: list[Any], at: str, notes: Notes) -> list[JsonObject]:
    messages: list[JsonObject] = []
    parts = []
    for position, block in enumerate(blocks):
        where = f"{at}[{position}]"
        if json_object(block, where).get("type") == "tool_result":
            messages.append(_tool_message(block, where, notes))
        else:
            parts.append(canonical_part(block, where, notes))
    if parts or not messages:
        messages.append({"role": "user", "content": _collapsed(parts)})
    return messages


def _assistant(blocks: list[Any], at: str, notes: Notes) -> list[JsonObject]:
    turns = [_AssistantTurn()]
    for position, block in enumerate(blocks):
        where = f"{at}[{position}]"
        kind = json_object(block, where).get("type")
        if kind in ("thinking", "redacted_thinking"):
            if turns[-1].parts and not turns[-1].calls:
                turns.append(_AssistantTurn())
            text_field(block, "thinking" if kind == "thinking" else "data", where)
            notes.foreign_thinking = notes.foreign_thinking or is_foreign(block)
            turns[-1].thinking.append(block_to_canonical(block))
        elif kind == "tool_use":
            turns[-1].calls.append(_tool_call(block, where, notes))
        else:
            turns[-1].parts.append(canonical_part(block, where, notes))
    return [turn.message() for turn in turns]


class _AssistantTurn:
    __slots__ = ("calls", "parts", "thinking")

    def __init__(self) -> None:
        self.thinking: list[JsonObject] = []
        self.parts: list[JsonObject] = []
        self.calls: list[JsonObject] = []

    def message(self) -> JsonObject:
        content = None if self.calls and not self.parts else _collapsed(self.parts)
        message: JsonObject = {"role": "assistant", "content": content}
        if self.thinking:
            message["thinking_blocks"] = self.thinking
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def _collapsed(parts: list[JsonObject]) -> str | list[JsonObject]:
    """A string where that says the same: every server understands it."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _tool_message(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    content = block.get("content")
    if isinstance(content, list):
        parts = [canonical_part(part, f"{at}.content[{position}]", notes) for position, part in enumerate(content)]
        content = _collapsed(parts)
    elif content is not None and not isinstance(content, str):
        raise wrong(f"{at}.content", "a string or a list of content blocks")
    message: JsonObject = {
        "role": "tool",
        "tool_call_id": text_field(block, "tool_use_id", at),
        "content": content or "",
    }
    if block.get("is_error"):
        message["is_error"] = True
        notes.advise("is_error")
    return _with_rest(message, block, {"type", "tool_use_id", "content", "is_error"}, at, notes)


def _tool_call(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    function = {
        "name": text_field(block, "name", at),
        "arguments": encode_json(object_field(block, "input", at)).decode(),
    }
    call = {"id": text_field(block, "id", at), "type": "function", "function": function}
    known = {"type", "id", "name", "input"}
    if block.get("caller") == _DIRECT:
        known.add("caller")
    return _with_rest(call, block, known, at, notes)


def _with_rest(translation: JsonObject, block: JsonObject, known: set[str], at: str, notes: Notes) -> JsonObject:
    """Add to a translation what it does not say: the cache marker, and the block itself where there is more."""
    rest = [name for name, value in block.items() if name not in known and value is not None]
    if not rest:
        return translation
    if "cache_control" in rest:
        translation["cache_control"] = block["cache_control"]
        notes.advise("cache_control")
        rest.remove("cache_control")
    if rest:
        translation["anthropic"] = block
        notes.refused += [f"{at}.{name}" for name in rest]
    return translation


def _carried(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    notes.refused.append(at)
    part = {"type": block["type"], "anthropic": block}
    if text := "\n".join(_texts_in(block)):
        part["text"] = text
    return part


def _texts_in(block: JsonObject) -> list[str]:
    """Every ``text`` anywhere in a block."""
    texts = []
    found: list[Any] = [block]
    while found:  # no recursion: a client chooses how deep this goes
        holder = found.pop()
        if isinstance(holder, dict):
            if isinstance(holder.get("text"), str):
                texts.append(holder["text"])
            found += reversed(holder.values())
        elif isinstance(holder, list):
            found += reversed(holder)
    return texts


def _text(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    part: JsonObject = {"type": "text", "text": text_field(block, "text", at)}
    if len(block) == 2:
        return part
    known = {"type", "text", "citations"}
    if block.get("citations"):  # of an earlier answer: the text says the same without them
        part["anthropic"] = block
        notes.advise("citations")
    return _with_rest(part, block, known, at, notes)


def _image(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    source = object_field(block, "source", at)
    kind = source.get("type")
    if kind == "base64":
        url = _data_url(source, f"{at}.source")
    elif kind == "url":
        url = text_field(source, "url", f"{at}.source")
    else:
        return _carried(block, at, notes)
    part: JsonObject = {"type": "image_url", "image_url": {"url": url}}
    if block.get("transformations"):
        part["anthropic"] = block
        notes.advise("transformations")
    return _with_rest(part, block, {"type", "source", "transformations"}, at, notes)


def _data_url(source: JsonObject, at: str) -> str:
    return f"data:{text_field(source, 'media_type', at)};base64,{text_field(source, 'data', at)}"


def _document(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    source = object_field(block, "source", at)
    kind = source.get("type")
    if kind == "base64":
        title = block.get("title")
        file = {
            "filename": title if isinstance(title, str) and title else DEFAULT_FILE_NAME,
            "file_data": _data_url(source, f"{at}.source"),
        }
        part: JsonObject = {"type": "file", "file": file}
        return _with_rest(part, block, {"type", "source", "title"} | _no_citations(block), at, notes)
    if kind == "text":
        content = text_field(source, "data", f"{at}.source")
    elif kind == "content":
        content = _content_text(source, f"{at}.source", notes)
    else:
        return _carried(block, at, notes)
    text = _below_each_other(block.get("title"), block.get("context"), content)
    known = {"type", "source", "title", "context"} | _no_citations(block)
    return _with_rest({"type": "text", "text": text, "anthropic": block}, block, known, at, notes)


def _search_result(block: JsonObject, at: str, notes: Notes) -> JsonObject:
    content = _content_text(block, at, notes)
    text = _below_each_other(text_field(block, "title", at), text_field(block, "source", at), content)
    known = {"type", "source", "title", "content"} | _no_citations(block)
    return _with_rest({"type": "text", "text": text, "anthropic": block}, block, known, at, notes)


def _no_citations(block: JsonObject) -> set[str]:
    """Citations may be left out where the client does not ask for any."""
    citations = block.get("citations")
    return set() if isinstance(citations, dict) and citations.get("enabled") else {"citations"}


def _content_text(holder: JsonObject, at: str, notes: Notes) -> str:
    """The text of ``holder["content"]``, a string or a list of blocks."""
    content = holder.get("content")
    if isinstance(content, str):
        return content
    texts = []
    for position, block in enumerate(json_list(content, f"{at}.content")):
        where = f"{at}.content[{position}]"
        if json_object(block, where).get("type") == "text":
            texts.append(text_field(block, "text", where))
        else:
            notes.refused.append(where)
    return "\n".join(texts)


def _below_each_other(*texts: object) -> str:
    return "\n".join(text for text in texts if isinstance(text, str) and text)


_PARTS: dict[str, Callable[[JsonObject, str, Notes], JsonObject]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
