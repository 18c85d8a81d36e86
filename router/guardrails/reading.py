"""Every text in a part of a request's body, and the kinds of content in it that no text guard can read.

Nothing is skipped for being unknown: what is not an identifier, a sealed value or media counts as text, wherever it
stands. Files that are text are decoded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

# What the name of a key, or the ``type`` of an object, says about the data below it.
_MEDIA = {
    "audio": "audio",
    "container_upload": "file",
    "document": "file",
    "file": "file",
    "image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_file": "file",
    "input_image": "image",
    "input_video": "video",
    "redacted_thinking": "sealed",
    "video": "video",
    "video_url": "video",
}
_TEXT_TYPES = frozenset({"input_text", "output_text", "text"})
# Where media, or what names it, stands.
_LOCATORS = frozenset({"b64_json", "bytes", "data", "file_data", "file_id", "file_url", "id", "url", *_MEDIA})
# What lies with the provider and was judged, if at all, when it was sent there.
_STORED = {"conversation": "history", "previous_response_id": "history"}
_SEALED = frozenset({"encrypted_content", "encrypted_index", "signature"})
_IDENTIFYING = frozenset(
    {
        *("call_id", "detail", "format", "id", "index", "media_type", "mime_type", "role", "status", "tool_call_id"),
        *("tool_use_id", "ttl", "type", "url"),
    }
)
_LONGEST_IDENTIFIER = 2048
_SHORTEST_BLOB = 1024
_LONGEST_DATA_URL_HEAD = 256
_TEXT_MEDIA = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


class TextReader:
    """Reads values of a JSON body; ``unseen`` gathers the kinds of what it could not read."""

    __slots__ = ("unseen",)

    def __init__(self) -> None:
        self.unseen: dict[str, None] = {}

    def texts(self, value: object) -> list[str]:
        """The texts below ``value``, in the order of the body."""
        found = []
        stack: list[tuple[str, str | None, object]] = [("", None, value)]
        while stack:  # no recursion: a client chooses how deep this goes
            key, media, item = stack.pop()
            if isinstance(item, str):
                text = self._text(key, media, item)
                if text.strip():
                    found.append(text)
            elif isinstance(item, dict):
                media = self._media(key, media, item)
                stack += [(str(name), media, below) for name, below in reversed(item.items())]
            elif isinstance(item, list):
                stack += [(key, media, below) for below in reversed(item)]
        return found

    def _media(self, key: str, media: str | None, holder: dict[str, Any]) -> str | None:
        """What the data in ``holder`` is, ``None`` for text."""
        kind = holder.get("type")
        if isinstance(kind, str):
            if kind in _TEXT_TYPES:
                return None
            if kind == "item_reference":
                self.unseen["history"] = None
            media = media or _MEDIA.get(kind)
        if key == "prompt" and "id" in holder:
            self.unseen["stored prompt"] = None
        return media or _MEDIA.get(key)

    def _text(self, key: str, media: str | None, item: str) -> str:
        if key in _STORED and _is_opaque(item):
            self.unseen[_STORED[key]] = None
            return ""
        if media is not None and key in _LOCATORS:
            return self._located(media, item)
        if key in _LOCATORS and len(item) >= _SHORTEST_BLOB and _is_opaque(item):
            return self._located("file", item)
        if key in _SEALED and _is_opaque(item):
            return ""
        if key in _IDENTIFYING and len(item) <= _LONGEST_IDENTIFIER and _is_opaque(item):
            return ""
        return item

    def _located(self, media: str, item: str) -> str:
        if item.startswith("data:"):
            head, comma, _ = item[:_LONGEST_DATA_URL_HEAD].partition(",")
            if comma:
                kind = head[len("data:") :].lower()
                text = _decoded(kind, item[len(head) + 1 :]) if _says_text(kind) else None
                if text is not None:
                    return text
                self._note(kind.partition("/")[0] if kind.startswith(("image/", "audio/", "video/")) else media)
                return ""
        if not _is_opaque(item):
            return item
        self._note(media)
        return ""

    def _note(self, media: str) -> None:
        if media != "sealed":
            self.unseen[media] = None


def is_prose(text: str) -> bool:
    """Whether a value of an unknown setting may be more than a word of it."""
    return len(text) > 64 or not _is_opaque(text)


def argument_texts(arguments: object) -> list[str]:
    """The texts of a tool call's arguments: every key and every string, so that no escape of JSON hides one."""
    value = arguments
    if isinstance(arguments, str):
        try:
            value = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return [arguments] if arguments.strip() else []
        if isinstance(value, str):
            return [value]
    return [text for text in _leaves(value) if text.strip()]


def all_strings(value: object) -> set[str]:
    """Every string below ``value``, and those in the arguments of tool calls."""
    found = set(_leaves(value))
    for text in [text for text in found if text.startswith(("{", "["))]:
        found.update(argument_texts(text))
    return found


def _leaves(value: object) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            for name, below in reversed(item.items()):
                stack += [below, name]
        elif isinstance(item, list):
            stack += reversed(item)


def _is_opaque(text: str) -> bool:
    """Whether a value is one word, as identifiers, URLs and encoded bytes are."""
    return text.isascii() and " " not in text and "\t" not in text


def _says_text(media_type: str) -> bool:
    bare = media_type.partition(";")[0].strip()
    return bare == "" or bare.startswith(_TEXT_MEDIA) or (bare.endswith(("+json", "+xml")) and bare[:6] != "image/")


def _decoded(head: str, data: str) -> str | None:
    try:
        if not head.endswith(";base64"):
            return unquote_to_bytes(data).decode("utf-8", "replace")
        bare = "".join(data.split())
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.decode("utf-8", "replace")
