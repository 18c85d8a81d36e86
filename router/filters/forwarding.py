"""Which headers of a request a service gets to see: none that says who the client is, unless the operator wants it."""

from __future__ import annotations

from collections.abc import Sequence

from router.config.filters import CREDENTIAL_HEADERS
from router.context import RequestContext
from router.telemetry.tracing import NOT_TRACED, current_span, trace_headers

_FORWARDED = ("baggage", "accept-language")


class HeaderForwarding:
    """``names`` are forwarded on top of the trace, which goes on under the filter's span.

    The client's credentials only with ``credentials``, and never the header that the gateway's own key came in.
    """

    def __init__(self, names: Sequence[str] = (), *, credentials: bool = False) -> None:
        wanted = {*_FORWARDED, *(name.lower() for name in names)} - CREDENTIAL_HEADERS
        self._names = sorted(wanted | CREDENTIAL_HEADERS if credentials else wanted)

    def headers(self, context: RequestContext) -> dict[str, str]:
        """The headers of one question; names are in lower case."""
        own = (context.credential_header or "").lower()
        headers = {
            name: value for name in self._names if name != own and (value := context.headers.get(name)) is not None
        }
        headers["x-request-id"] = context.request_id
        span = current_span()
        return {**headers, **trace_headers(context.span if span is NOT_TRACED else span, context.headers)}
