"""Content parts, both ways: ``input_text``, ``input_image``, ``input_file`` and what the chat completions call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from router.dialects.canonical import JsonObject
from router.dialects.openai_responses.fields import Losses, invalid, read_list, read_object, read_text
from router.errors import InvalidRequest

_BREAKPOINT = "prompt_cache_breakpoint"  # the same object in both APIs
_TEXT_FIELDS = frozenset({"type", "text", _BREAKPOINT})
_OUTPUT_TEXT_FIELDS = _TEXT_FIELDS | {"annotations", "logprobs"}  # of an answer, which say nothing to a model
_IMAGE_FIELDS = frozenset({"type", "image_url", "detail", _BREAKPOINT})
_FILE_FIELDS = frozenset({"type", "file_data", "file_id", "filename", "detail", _BREAKPOINT})
_AUDIO_FIELDS = frozenset({"type", "input_audio"})
# What other dialects add to a canonical part, and what does not change its meaning.
_CANONICAL_EXTRAS = frozenset({"cache_control", "anthropic"})

_Decoder: TypeAlias = Callable[[JsonObject, str, Losses], JsonObject]


def decode_content(content: object, path: str, losses: Losses) -> str | list[JsonObject]:
    """The canonical content: text that stands alone becomes a string, which every provider understands.

    Raises ``InvalidRequest`` that names the field.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(path, "a string or a list of parts")
    parts = [_decode_part(part, f"{path}[{index}]", losses) for index, part in enumerate(content)]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _decode_part(part: object, path: str, losses: Losses) -> JsonObject:
    known = read_object(part, path)
    kind = read_text(known.get("type"), f"{path}.type")
    decode = _DECODERS.get(kind)
    if decode is not None:
        return decode(known, path, losses)
    losses.refuse(f"{path}.type")
    return {"type": "text", "text": plain_text(known)}


def plain_text(value: object) -> str:
    """All text in what has no canonical form: it goes to no provider, but guards have to see it."""
    texts: list[str] = []
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, list):
            stack.extend(reversed(top))
        elif isinstance(top, dict):
            stack.extend(value for name, value in reversed(top.items()) if name not in _NO_TEXT)
        elif isinstance(top, str):
            texts.append(top)
    return "\n".join(texts)


_NO_TEXT = frozenset({"type", "id", "call_id", "status", "role", "encrypted_content", "image_url", "file_data"})


def _decode_text(part: JsonObject, path: str, losses: Losses) -> JsonObject:
    losses.refuse_unread(part, _OUTPUT_TEXT_FIELDS if part["type"] == "output_text" else _TEXT_FIELDS, path)
    return _with_breakpoint({"type": "text", "text": read_text(part.get("text"), f"{path}.text")}, part)


def _decode_image(part: JsonObject, path: str, losses: Losses) -> JsonObject:
    losses.refuse_unread(part, _IMAGE_FIELDS, path)
    url = part.get("image_url")
    if url is None and part.get("file_id"):
        return {"type": "text", "text": ""}  # refused by its name
    image = {"url": read_text(url, f"{path}.image_url")}
    if part.get("detail"):
        image["detail"] = part["detail"]
    return _with_breakpoint({"type": "image_url", "image_url": image}, part)


def _decode_file(part: JsonObject, path: str, losses: Losses) -> JsonObject:
    losses.refuse_unread(part, _FILE_FIELDS, path)
    if part.get("detail") not in (None, "auto"):
        losses.untranslated.append(f"{path}.detail")
    named = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name) is not None}
    return _with_breakpoint({"type": "file", "file": named}, part)


def _decode_audio(part: JsonObject, path: str, losses: Losses) -> JsonObject:
    losses.refuse_unread(part, _AUDIO_FIELDS, path)
    audio = read_object(part.get("input_audio"), f"{path}.input_audio")
    return {"type": "input_audio", "input_audio": audio}


def _decode_refusal(part: JsonObject, path: str, losses: Losses) -> JsonObject:
    return {"type": "refusal", "refusal": read_text(part.get("refusal"), f"{path}.refusal")}


def _with_breakpoint(translated: JsonObject, part: Mapping[str, Any]) -> JsonObject:
    if part.get(_BREAKPOINT):
        translated[_BREAKPOINT] = part[_BREAKPOINT]
    return translated


_DECODERS: Mapping[str, _Decoder] = {
    "input_text": _decode_text,
    "output_text": _decode_text,
    "text": _decode_text,
    "input_image": _decode_image,
    "input_file": _decode_file,
    "input_audio": _decode_audio,
    "refusal": _decode_refusal,
}


def encode_content(content: object, path: str) -> str | list[JsonObject]:
    """The content of an input message or a tool's output. Raises ``InvalidRequest`` that names the canonical field."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = read_list(content, path)
    return [_encode_part(part, f"{path}[{index}]") for index, part in enumerate(parts)]


def _encode_part(part: object, path: str) -> JsonObject:
    known = read_object(part, path)
    kind = known.get("type")
    if kind == "text":
        _refuse_unknown(known, _TEXT_FIELDS, path)
        return _with_breakpoint({"type": "input_text", "text": read_text(known.get("text"), f"{path}.text")}, known)
    if kind == "image_url":
        _refuse_unknown(known, _IMAGE_FIELDS, path)
        image = read_object(known.get("image_url"), f"{path}.image_url")
        url = read_text(image.get("url"), f"{path}.image_url.url")
        detail = image.get("detail") or "auto"
        return _with_breakpoint({"type": "input_image", "image_url": url, "detail": detail}, known)
    if kind == "file":
        _refuse_unknown(known, frozenset({"type", "file", _BREAKPOINT}), path)
        named = read_object(known.get("file"), f"{path}.file")
        return _with_breakpoint({"type": "input_file", **named}, known)
    raise no_counterpart(f"{path}.type")


def no_counterpart(path: str) -> InvalidRequest:
    """The error of a canonical field that a Responses provider has no word for."""
    return InvalidRequest(
        f"'{path}' cannot be translated for this provider (openai_responses), which has no counterpart of it.",
        param=path,
    )


def _refuse_unknown(part: Mapping[str, Any], known: frozenset[str], path: str) -> None:
    for name, said in part.items():
        if said and name not in known and name not in _CANONICAL_EXTRAS:
            raise no_counterpart(f"{path}.{name}")
