"""The formats of JSON Schema that parameters may have (JSON Schema validation, section 7.3), as predicates.

Times may lack an offset, and seconds: what users say is local, and rarely to the second.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from types import MappingProxyType
from urllib.parse import urlsplit

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"(\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(?:[Zz]|([+-]\d\d:\d\d))?")
_DURATION = re.compile(r"P(?=.)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?)")
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}@[^\s@.]{1,63}(?:\.[^\s@.]{1,63})+")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MAX_HOST_CHARS = 253


def is_date(text: str) -> bool:
    """``2026-03-31``."""
    return _DATE.fullmatch(text) is not None and _parses(date.fromisoformat, text)


def is_time(text: str) -> bool:
    """``14:30``, ``14:30:00``, ``14:30:00.5+02:00``, ``14:30Z``."""
    match = _TIME.fullmatch(text)
    return match is not None and _parses(time.fromisoformat, match[1] + (match[2] or "") + (match[4] or ""))


def is_date_time(text: str) -> bool:
    """A date, ``T`` or a space, and a time."""
    return len(text) > 11 and text[10] in "Tt " and is_date(text[:10]) and is_time(text[11:])


def _parses(parse: Callable[[str], date | datetime | time], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    return len(text) <= _MAX_HOST_CHARS and all(map(_LABEL.fullmatch, text.split(".")))


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and re.search(r"\s", text) is None


def _is_address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


FORMATS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "date": is_date,
        "time": is_time,
        "date-time": is_date_time,
        "duration": lambda text: _DURATION.fullmatch(text) is not None,
        "email": lambda text: _EMAIL.fullmatch(text) is not None,
        "hostname": _is_host,
        "ipv4": _is_address(4),
        "ipv6": _is_address(6),
        "uri": _is_uri,
        "uuid": lambda text: _UUID.fullmatch(text) is not None,
    }
)
