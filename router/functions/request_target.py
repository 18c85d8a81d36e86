"""From a template and arguments to the target of a request (pure), so that no argument changes more than its own place.

What a parameter says is data. In a path it is percent-encoded and stays inside the segment that it is in: a value with
a slash in it, one that would empty a segment, or one that would make it ``.`` or ``..`` is refused, since servers and
proxies disagree on whether an encoded slash is one. In a query it is percent-encoded (RFC 3986, section 2.1). In a
host, where the template has a place for it there, it can only be a label, or a host name where the template is nothing
else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

import orjson

from router.errors import InvalidRequest
from router.functions.targets import Arguments, JsonValue

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LITERAL_SAFE = "/?#[]@!$&'()*+,;=:%-._~"  # of a template, which is written by the operator
_MAX_TARGET_BYTES = 16 * 1024
_MAX_HOST_CHARS = 253  # RFC 1035, section 2.3.4, less the dots and lengths that are no text


def placeholders(template: str) -> tuple[str, ...]:
    """The names in braces, in order."""
    return tuple(_PLACEHOLDER.findall(template))


def filled_path(template: str, arguments: Arguments) -> str:
    """The path of ``template`` (a query behind ``?`` included) with ``arguments`` in it. Raises ``InvalidRequest``."""
    path, mark, query = template.partition("?")
    segments = [_segment(segment, arguments) for segment in path.split("/")]
    filled = "/".join(segments)
    if not filled.startswith("/"):
        filled = f"/{filled}"
    if not mark:
        return _bounded(filled)
    return _bounded(f"{filled}?{_filled(query, arguments)}")


def with_query(path: str, arguments: Iterable[tuple[str, JsonValue]]) -> str:
    """``path`` with ``arguments`` in its query: lists repeat their name, objects are JSON.

    Raises ``InvalidRequest``.
    """
    pairs = [
        f"{_quoted(name, name)}={_quoted(text_of(each), name)}"
        for name, value in arguments
        for each in (value if isinstance(value, list) else [value])
    ]
    if not pairs:
        return path
    return _bounded(path + ("&" if "?" in path else "?") + "&".join(pairs))


def filled_host(template: str, arguments: Arguments) -> str:
    """``host`` or ``host:port`` of ``template`` with ``arguments`` in it. Raises ``InvalidRequest``."""
    host, _, port = template.partition(":")

    def place(match: re.Match[str]) -> str:
        value = arguments.get(match[1], "")
        reason = host_complaint(template, value)
        if reason is not None:
            raise _refused(match[1], reason)
        return text_of(value)

    filled = _PLACEHOLDER.sub(place, host)
    if len(filled) > _MAX_HOST_CHARS:
        raise InvalidRequest("The host name that the parameters amount to is too long.")
    return f"{filled}:{port}" if port else filled


def path_complaint(value: JsonValue) -> str | None:
    """Why ``value`` cannot stand in a path; ``None`` where it can."""
    if isinstance(value, dict):
        return "cannot stand in a path"
    text = _joined(value)
    plain = unquote(text)
    if not text or any(mark in each for each in (text, plain, unquote(plain)) for mark in "/\\\0"):
        return "cannot be empty or have a slash in it"
    return "cannot stand in a path" if {text, plain} & {".", ".."} else None


def host_complaint(template: str, value: JsonValue) -> str | None:
    """Why ``value`` cannot stand in the host ``template``; ``None`` where it can."""
    text = text_of(value)
    alone = _PLACEHOLDER.fullmatch(template.partition(":")[0]) is not None
    labels = text.split(".") if alone else [text]
    if len(text) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        return "cannot be a host name"
    return None


def text_of(value: JsonValue) -> str:
    """A value as it stands in a URL: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _segment(template: str, arguments: Arguments) -> str:
    for name in placeholders(template):
        reason = path_complaint(arguments.get(name, ""))
        if reason is not None:
            raise _refused(name, reason)
    return _filled(template, arguments)


def _filled(template: str, arguments: Mapping[str, JsonValue]) -> str:
    """``template`` with every placeholder replaced by its value, percent-encoded throughout."""
    parts = _PLACEHOLDER.split(template)  # literal, name, literal, name, ..., literal
    return "".join(
        quote(part, safe=_LITERAL_SAFE) if index % 2 == 0 else _quoted(_joined(arguments.get(part, "")), part)
        for index, part in enumerate(parts)
    )


def _joined(value: JsonValue) -> str:
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def _quoted(text: str, name: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise _refused(name, "is not valid text") from None


def _bounded(target: str) -> str:
    if len(target) > _MAX_TARGET_BYTES:
        raise InvalidRequest("The parameters are too long for a request.")
    return target


def _refused(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' {reason}.", param=name)
