"""Images, documents and audio as Converse wants them: the bytes in base64, and the name of their format."""

from __future__ import annotations

import re
from collections.abc import Mapping

from router.dialects.bedrock_converse.fields import NAME, json_object, object_field, text_field, wrong
from router.dialects.canonical import JsonObject, untranslatable

_IMAGE_FORMATS: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENT_FORMATS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}
_AUDIO_FORMATS = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "mpeg", "pcm", "webm"})

_MAX_NAME_CHARS = 190  # of 200, with room for a number
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\-()\[\]]+")


def image_block(part: JsonObject, at: str) -> JsonObject:
    """An ``image_url`` part; its URL has to hold the image, because Bedrock fetches none."""
    image = part.get("image_url")
    if isinstance(image, str):  # some clients leave out the object around it
        image = {"url": image}
    field = f"{at}.image_url.url"
    media_type, data = _data_url(text_field(json_object(image, f"{at}.image_url"), "url", f"{at}.image_url"), field)
    format_ = _IMAGE_FORMATS.get(media_type)
    if format_ is None:
        raise wrong(field, f"a PNG, JPEG, GIF or WebP image for this provider ({NAME})")
    return {"image": {"format": format_, "source": {"bytes": data}}}


def audio_block(part: JsonObject, at: str) -> JsonObject:
    """An ``input_audio`` part."""
    audio = object_field(part, "input_audio", at)
    format_ = text_field(audio, "format", f"{at}.input_audio")
    if format_ not in _AUDIO_FORMATS:
        raise wrong(f"{at}.input_audio.format", f"one of {', '.join(sorted(_AUDIO_FORMATS))}")
    data = text_field(audio, "data", f"{at}.input_audio")
    return {"audio": {"format": format_, "source": {"bytes": data}}}


class Documents:
    """Makes documents of ``file`` parts and sees that each has its own name, as Bedrock requires."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: set[str] = set()

    def block(self, part: JsonObject, at: str) -> JsonObject:
        """A ``file`` part. Raises ``InvalidRequest`` for one that lies with another provider."""
        file = object_field(part, "file", at)
        if file.get("file_data") is None:
            raise untranslatable(f"{at}.file.file_id", NAME)
        field = f"{at}.file.file_data"
        data = text_field(file, "file_data", f"{at}.file")
        named = file.get("filename")
        stem, _, extension = (named if isinstance(named, str) else "").rpartition(".")
        media_type = ""
        if data.startswith("data:"):
            media_type, data = _data_url(data, field)
        format_ = _DOCUMENT_FORMATS.get(media_type) or extension.lower()
        if format_ not in _DOCUMENT_FORMATS.values():
            raise wrong(field, f"a {', '.join(sorted(_DOCUMENT_FORMATS.values()))} for this provider ({NAME})")
        return {"document": {"format": format_, "name": self._name(stem or extension), "source": {"bytes": data}}}

    def _name(self, wanted: str) -> str:
        """``wanted`` in the letters that Bedrock takes, and unlike all names before it."""
        plain = _NOT_IN_A_NAME.sub(" ", wanted).strip()[:_MAX_NAME_CHARS].strip() or "document"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain} ({number})"
        self._names.add(name)
        return name


def _data_url(url: str, field: str) -> tuple[str, str]:
    """The media type and the base64 data of a data URL (RFC 2397)."""
    head, comma, data = url.partition(",")
    if not (comma and data and head.startswith("data:") and head.endswith(";base64")):
        raise wrong(field, f"a base64 data URL for this provider ({NAME})")
    return head[5:-7].partition(";")[0].strip().lower(), data
