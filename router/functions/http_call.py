"""Calling the API of a target: arguments out, the answer in, nothing of which an argument could bend.

GET and DELETE carry the arguments in the query, POST and PUT as a JSON object; those that the path names are in the
path alone. Only GET, which changes nothing (RFC 9110, section 9.2.1), is tried again, and only GET goes out on a
connection that was kept, since a request that finds its connection closed is sent once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from yarl import URL

from router.aio import timeout
from router.context import RequestContext
from router.dialects.canonical import encode_json
from router.errors import InvalidRequest, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from router.functions.addresses import FindAddress, public_address
from router.functions.request_target import filled_host, filled_path, placeholders, with_query
from router.functions.targets import ApiEndpoint, Arguments
from router.upstream.http import Endpoint, HttpClient

_JSON_ANSWERS = "application/json, text/plain;q=0.5"
_FIRST_PAUSE_S = 0.1
_PASSING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What an API said, whatever its status."""

    status: int
    content_type: str
    body: bytes

    @property
    def ok(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class ApiClients:
    """The two ways to an API. Close them with ``close``."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self.keeping = HttpClient(connect_timeout_s=connect_timeout_s)
        self.once = HttpClient(connect_timeout_s=connect_timeout_s, keep_alive=False)

    async def close(self) -> None:
        """Close all connections; calls that are running are cut off."""
        await self.keeping.close()
        await self.once.close()


class ApiCall:
    """One endpoint as one target calls it. ``find_address`` looks up names that come from a conversation."""

    def __init__(
        self, endpoint: ApiEndpoint, clients: ApiClients, *, find_address: FindAddress = public_address
    ) -> None:
        self._endpoint = endpoint
        self._client = clients.keeping if endpoint.method == "GET" else clients.once
        self._find_address = find_address
        self._host_names = frozenset(placeholders(endpoint.host))
        self._in_url = self._host_names.union(placeholders(endpoint.path))
        self._tries = 1 + endpoint.max_retries if endpoint.method == "GET" else 1

    async def call(self, arguments: Arguments, context: RequestContext) -> ApiAnswer:
        """Call it with arguments that were checked. Raises ``InvalidRequest`` for one that can stand nowhere in a
        request, and ``UpstreamError`` when there is no answer within the time of the endpoint and of the request.
        """
        deadline = time.monotonic() + min(self._endpoint.timeout_s, context.remaining_s())
        try:
            async with timeout(deadline - time.monotonic()):
                return await self._tried(arguments, context, deadline)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise UpstreamTimeout(f"'{self._endpoint.name}' did not answer in time.") from exc

    async def _tried(self, arguments: Arguments, context: RequestContext, deadline: float) -> ApiAnswer:
        body = self._body(arguments)
        endpoint = await self._target(arguments, deadline)
        headers = {"x-request-id": context.request_id}
        if (traceparent := context.span.traceparent) is not None:
            headers["traceparent"] = traceparent
        tries, pause_s = self._tries, _FIRST_PAUSE_S
        while True:
            tries -= 1
            try:
                answer = await self._once(endpoint, body, headers)
            except UpstreamUnreachable:  # an answer that is none would be the same again
                if not tries:
                    raise
            else:
                if not (tries and answer.status in _PASSING):
                    return answer
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _once(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> ApiAnswer:
        async with self._client.post(endpoint, body, headers) as response:
            if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
                # To follow it would take credentials and arguments to wherever the API says.
                raise UpstreamProtocolError(f"'{self._endpoint.name}' answered with a redirect.")
            content = await response.read(self._endpoint.max_response_bytes)
            return ApiAnswer(response.status, response.content_type, content)

    async def _target(self, arguments: Arguments, deadline: float) -> Endpoint:
        api = self._endpoint
        path = filled_path(api.path, arguments)
        if api.method in {"GET", "DELETE"}:
            path = with_query(path, [pair for pair in arguments.items() if pair[0] not in self._in_url])
        host, address = api.host, None
        if self._host_names:
            host = filled_host(api.host, arguments)
            if not api.allow_private:
                address = await self._find_address(host.partition(":")[0], timeout_s=deadline - time.monotonic())
        try:
            return Endpoint(
                api.name,
                URL(f"{api.protocol}://{host}{path}", encoded=True),
                api.timeout_s,
                {"accept": _JSON_ANSWERS, **api.headers},
                api.method,
                address,
            )
        except ValueError as exc:
            raise InvalidRequest("The parameters do not make a request.") from exc

    def _body(self, arguments: Arguments) -> bytes:
        if self._endpoint.method in {"GET", "DELETE"}:
            return b""
        return encode_json({name: value for name, value in arguments.items() if name not in self._in_url})
