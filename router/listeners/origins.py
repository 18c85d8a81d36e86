"""Web pages may not use a gateway on their visitor's machine.

A page can send a request anywhere, though it cannot read the answer: enough to spend money, or to call an API. Browsers
say in ``Origin`` which page asks (https://www.rfc-editor.org/rfc/rfc6454); other clients do not send it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from router.context import RequestContext
from router.errors import PermissionDenied


def check_origin(context: RequestContext) -> None:
    """Raises ``PermissionDenied`` for a page that is not from this machine, unless an API key came along.

    ``localhost`` and loopback addresses are this machine; every other name can be made to point here.
    """
    origin = context.headers.get("origin")
    if origin is not None and context.identity is None and not _is_local(origin):
        raise PermissionDenied(
            "Web pages may not ask here without an API key (`auth` in the configuration).", code="origin_not_allowed"
        )


def _is_local(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
