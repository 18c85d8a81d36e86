"""The head of a request in bytes: what is the same for every request of an endpoint, and what is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from yarl import URL

from router.errors import InvalidRequest

Method: TypeAlias = Literal["POST", "GET", "PUT", "DELETE"]

_CONSTANT: Mapping[Method, Mapping[str, str]] = {
    "POST": {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
    },
    "GET": {"accept": "application/json", "accept-encoding": "identity"},
    "PUT": {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
    },
    "DELETE": {"accept": "application/json", "accept-encoding": "identity"},
}
_WITHOUT_BODY: frozenset[Method] = frozenset({"GET", "DELETE"})
# Between us and the next hop: how a message is framed and what becomes of the connection is the connection's business.
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = re.compile(r"[!-~]+")
_LINE_BREAK = re.compile(r"[\r\n\0]")


class RequestHead:
    """Builds the heads of the requests to one URL. The constant part is encoded once. GET and DELETE have no body.

    ``headers`` win over the client's own, ``host`` included; hop-by-hop headers among them are left out. Raises
    ``ValueError`` for what cannot stand in a head; the message has neither the URL nor a header's value.
    """

    __slots__ = ("_fixed", "_length", "_prefix")

    def __init__(self, url: URL, headers: Mapping[str, str], method: Method = "POST") -> None:
        if url.scheme not in {"http", "https"} or not url.raw_host:
            raise ValueError("The URL of an endpoint has to begin with http:// or https:// and a host.")
        if url.user is not None or url.password is not None:
            raise ValueError("The URL of an endpoint may not contain credentials; they belong into a header.")
        if not _VISIBLE.fullmatch(url.raw_path_qs):
            raise ValueError("The path of an endpoint has to be percent-encoded.")
        own = {name.lower(): value for name, value in headers.items()}
        fields = {"host": url.host_port_subcomponent or "", **_CONSTANT[method], **own}
        for name, value in fields.items():
            if not _fits(name, value):
                raise ValueError(f"The header {name[:60]!r} of an endpoint has no valid name, or a line break in it.")
        lines = [f"{method} {url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items() if name not in _HOP_BY_HOP]
        self._prefix = ("\r\n".join(lines) + "\r\n").encode()
        self._fixed = _HOP_BY_HOP.union(fields)
        self._length = method not in _WITHOUT_BODY  # RFC 9110, section 8.6: not sent where no body is anticipated

    def encode(self, headers: Mapping[str, str], body_bytes: int) -> bytes:
        """One head. ``headers`` are those of this request; they cannot replace a constant one.

        Raises ``InvalidRequest`` for a header that would break out of its line.
        """
        lines: list[str] = []
        for name, value in headers.items():
            lower = name.lower()
            if lower in self._fixed:
                continue
            if not _fits(lower, value):
                raise InvalidRequest(f"The header {lower[:60]!r} cannot be forwarded.")
            lines.append(f"{lower}: {value}\r\n")
        try:
            fields = "".join(lines).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as exc:
            raise InvalidRequest("A header is not valid text.") from exc
        if not self._length:
            return b"%b%b\r\n" % (self._prefix, fields)
        return b"%b%bcontent-length: %d\r\n\r\n" % (self._prefix, fields, body_bytes)


def _fits(name: str, value: str) -> bool:
    return _NAME.fullmatch(name) is not None and _LINE_BREAK.search(value) is None
