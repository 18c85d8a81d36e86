"""What the URL of a PostgreSQL says about TLS: on, and the server proves who it is, unless the URL says otherwise."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from router.errors import OperatorError

_SCHEMES = ("postgresql://", "postgres://")


def malformed() -> OperatorError:
    """The error for a URL that no connection can be made of; it may hold a password, so it is not repeated."""
    return OperatorError(
        "The PostgreSQL URL cannot be understood.", fix="Write `postgresql://user:password@host:5432/database`."
    )


def tls_options(url: str) -> Mapping[str, Any]:
    """The options of a connection to ``url``.

    Without ``sslmode``, or with ``verify-full``, the server needs a certificate for its name that an authority of the
    system has signed, or one of ``sslrootcert``. Other modes mean what they mean to every PostgreSQL client, and what
    does not leave the machine needs no TLS. Raises ``OperatorError`` for another scheme, and for files that cannot be
    read.
    """
    if not url.startswith(_SCHEMES):
        raise OperatorError("The PostgreSQL URL is not one.", fix=f"Start it with {' or '.join(_SCHEMES)}.")
    try:
        parts = urlsplit(url)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    except ValueError as exc:
        raise malformed() from exc
    hosts = asked.get("host") or parts.netloc.rpartition("@")[2]
    mode = asked.get("sslmode")
    if mode not in (None, "verify-full") or (mode is None and all(map(_is_local, hosts.split(",")))):
        return {}
    authorities = asked.get("sslrootcert")
    try:
        file = None if authorities in (None, "system") else str(Path(authorities or "").expanduser())
        context = ssl.create_default_context(cafile=file)
        if "sslcert" in asked:
            context.load_cert_chain(asked["sslcert"], asked.get("sslkey"), asked.get("sslpassword"))
    except (OSError, ssl.SSLError) as exc:
        raise OperatorError(
            "The certificates that the PostgreSQL URL names cannot be read.",
            fix="Check the files of `sslrootcert`, `sslcert` and `sslkey`.",
        ) from exc
    return {"ssl": context}


def _is_local(host: str) -> bool:
    """Whether a host of the URL, with or without a port, is a socket in the file system or this machine."""
    name = unquote(host)
    if name.startswith("/") or not name:
        return True
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
