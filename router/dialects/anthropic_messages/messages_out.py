"""Canonical messages as messages of an Anthropic request.

System and developer messages become ``system``, wherever they stand. Turns alternate: messages of one role that follow
each other are one turn, in which the results of tools come first. Text without a visible character is left out, because
the API refuses it; so are ``name``, the ``detail`` of images, and reasoning that Anthropic did not sign.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from router.dialects.anthropic_messages.fields import Notes, json_list, json_object, object_field, text_field, wrong
from router.dialects.anthropic_messages.messages_in import DEFAULT_FILE_NAME, canonical_part
from router.dialects.anthropic_messages.thinking import is_foreign
from router.dialects.canonical import DialectName, JsonObject, untranslatable
from router.errors import InvalidRequest

NAME: DialectName = "anthropic_messages"

_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_IMAGE_TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}


class Conversation:
    """Collects the turns and the system prompt. ``own``: the client speaks this dialect, and its words are kept."""

    __slots__ = ("_own", "_results", "_turns", "system")

    def __init__(self, *, own: bool) -> None:
        self._own = own
        self._turns: list[tuple[str, list[JsonObject]]] = []
        self._results = 0
        """How many results of tools the last turn begins with."""
        self.system: list[JsonObject] = []

    def add(self, message: Mapping[str, Any], at: str) -> None:
        """Take the next message. Raises ``InvalidRequest`` that names what cannot be translated."""
        role = message.get("role")
        if role == "tool":
            self._append_result(self._tool_result(message, at))
        elif role == "assistant":
            self._append("assistant", _marked(self._assistant(message, at), message))
        elif role == "user":
            self._append("user", _marked(self._content(message, at), message))
        elif role in ("system", "developer"):
            texts = _marked(self._content(message, at), message)
            if self._own and self._turns:
                self._append("system", texts)
            else:
                self.system += texts
        else:
            raise untranslatable(f"{at}.role", NAME)

    def _content(self, message: Mapping[str, Any], at: str) -> list[JsonObject]:
        content = message.get("content")
        if content is None:
            return []
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content.strip() else []
        blocks = []
        for position, part in enumerate(json_list(content, f"{at}.content")):
            where = f"{at}.content[{position}]"
            block = self._block(json_object(part, where), where)
            if block is not None:
                blocks.append(block)
        return blocks

    def _block(self, part: JsonObject, at: str) -> JsonObject | None:
        native = part.get("anthropic")
        if self._own and isinstance(native, dict) and _says_the_same(part, native, at):
            return native
        kind = part.get("type")
        translate = _BLOCKS.get(kind) if isinstance(kind, str) else None
        if translate is None:
            raise untranslatable(f"{at}.type", NAME)
        block = translate(part, at)
        if block is not None and part.get("cache_control") is not None:
            block["cache_control"] = part["cache_control"]
        return block

    def _assistant(self, message: Mapping[str, Any], at: str) -> list[JsonObject]:
        for name in ("audio", "function_call"):
            if message.get(name):
                raise untranslatable(f"{at}.{name}", NAME)
        blocks = signed_thinking(message)
        blocks += self._content(message, at)
        if message.get("refusal"):
            refusal = _refusal(message, at)
            blocks += [refusal] if refusal else []
        for position, call in enumerate(json_list(message.get("tool_calls") or [], f"{at}.tool_calls")):
            where = f"{at}.tool_calls[{position}]"
            blocks.append(self._tool_use(json_object(call, where), where))
        return blocks

    def _tool_use(self, call: JsonObject, at: str) -> JsonObject:
        if call.get("type", "function") != "function":
            raise untranslatable(f"{at}.type", NAME)
        function = object_field(call, "function", at)
        block = {
            "type": "tool_use",
            "id": _tool_id(text_field(call, "id", at)),
            "name": text_field(function, "name", f"{at}.function"),
            "input": _arguments(function.get("arguments"), f"{at}.function.arguments"),
        }
        return self._with_rest(block, call, ())

    def _tool_result(self, message: Mapping[str, Any], at: str) -> JsonObject:
        block: JsonObject = {
            "type": "tool_result",
            "tool_use_id": _tool_id(text_field(message, "tool_call_id", at)),
        }
        if content := self._content(message, at):
            block["content"] = _shortest(content)
        if message.get("is_error"):
            block["is_error"] = True
        return self._with_rest(block, message, ("content", "is_error"))

    def _with_rest(self, block: JsonObject, holder: Mapping[str, Any], said: tuple[str, ...]) -> JsonObject:
        """``block`` with its cache marker, and what the client wrote besides it and besides what is ``said``."""
        native = holder.get("anthropic")
        if self._own and isinstance(native, dict):
            block = {**{name: value for name, value in native.items() if name not in said}, **block}
        if holder.get("cache_control") is not None:
            block["cache_control"] = holder["cache_control"]
        return block

    def messages(self) -> list[JsonObject]:
        """The turns; a turn with nothing but text is a string."""
        if self._turns and self._turns[-1][0] == "assistant":
            _trim_end(self._turns[-1][1])
        return [{"role": role, "content": _shortest(blocks)} for role, blocks in self._turns if blocks]

    def _append(self, role: str, blocks: list[JsonObject]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))
            self._results = 0

    def _append_result(self, block: JsonObject) -> None:
        if not (self._turns and self._turns[-1][0] == "user"):
            self._turns.append(("user", []))
            self._results = 0
        self._turns[-1][1].insert(self._results, block)
        self._results += 1


def shortest_system(blocks: list[JsonObject]) -> str | list[JsonObject]:
    """The system prompt, as a string where that says the same."""
    return _shortest(blocks)


def _shortest(blocks: list[JsonObject]) -> str | list[JsonObject]:
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        text: str = blocks[0]["text"]
        return text
    return blocks


def _marked(blocks: list[JsonObject], message: Mapping[str, Any]) -> list[JsonObject]:
    """``blocks`` with the cache marker of their message on the last of them."""
    if blocks and message.get("cache_control") is not None:
        blocks[-1] = {**blocks[-1], "cache_control": message["cache_control"]}
    return blocks


def _trim_end(blocks: list[JsonObject]) -> None:
    """The API refuses an answer to be continued that ends in white space."""
    last = blocks[-1] if blocks else {}
    if last.get("type") == "text" and last["text"] != last["text"].rstrip():
        blocks[-1] = {**last, "text": last["text"].rstrip()}


def _says_the_same(part: JsonObject, native: JsonObject, at: str) -> bool:
    """Whether ``native`` still is what the part says: a filter may have changed the part since."""
    try:
        return canonical_part(native, at, Notes()) == part
    except (InvalidRequest, RecursionError):
        return False


def _text(part: JsonObject, at: str) -> JsonObject | None:
    text = text_field(part, "text", at)
    return {"type": "text", "text": text} if text.strip() else None


def _refusal(part: Mapping[str, Any], at: str) -> JsonObject | None:
    text = text_field(part, "refusal", at)
    return {"type": "text", "text": text} if text.strip() else None


def _image(part: JsonObject, at: str) -> JsonObject:
    image = part.get("image_url")
    if isinstance(image, str):  # some clients leave out the object around it
        image = {"url": image}
    url = text_field(json_object(image, f"{at}.image_url"), "url", f"{at}.image_url")
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_url(url, f"{at}.image_url.url")
    known = _IMAGE_TYPES.get(media_type)
    if known is None:
        raise wrong(f"{at}.image_url.url", "a JPEG, PNG, GIF or WebP image for this provider (anthropic_messages)")
    return {"type": "image", "source": {"type": "base64", "media_type": known, "data": data}}


def _file(part: JsonObject, at: str) -> JsonObject:
    file = object_field(part, "file", at)
    if file.get("file_data") is None:  # an id of another provider's file
        raise untranslatable(f"{at}.file.file_id", NAME)
    field = f"{at}.file.file_data"
    media_type, data = _data_url(text_field(file, "file_data", f"{at}.file"), field)
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type == "text/plain":
        source = {"type": "text", "media_type": media_type, "data": _decoded(data, field)}
    else:
        raise wrong(field, "a PDF or plain text for this provider (anthropic_messages)")
    title = file.get("filename")
    named = isinstance(title, str) and title and title != DEFAULT_FILE_NAME
    return {"type": "document", "source": source, **({"title": title} if named else {})}


def _data_url(url: str, field: str) -> tuple[str, str]:
    """The media type and the base64 data of a data URL (RFC 2397)."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise wrong(field, "an http(s) URL or a base64 data URL")
    return head[5:-7].partition(";")[0].lower(), data


def _decoded(data: str, field: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise wrong(field, "base64 of UTF-8 text") from exc


_BLOCKS: dict[str, Callable[[JsonObject, str], JsonObject | None]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "file": _file,
}


def signed_thinking(message: Mapping[str, Any]) -> list[JsonObject]:
    """The reasoning of a message that Anthropic knows as its own."""
    kept = message.get("thinking_blocks")
    if not isinstance(kept, list):
        return []
    kinds = ("thinking", "redacted_thinking")
    return [block for block in kept if isinstance(block, dict) and block.get("type") in kinds and not is_foreign(block)]


def _arguments(arguments: object, field: str) -> JsonObject:
    if arguments is None or arguments == "":
        return {}
    try:
        value = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError as exc:
        raise wrong(field, "a JSON object") from exc
    if not isinstance(value, dict):
        raise wrong(field, "a JSON object")
    return value


def _tool_id(id_: str) -> str:
    """An id in the letters that the API takes; the same one for a call and its result."""
    return _NOT_IN_AN_ID.sub("_", id_)
