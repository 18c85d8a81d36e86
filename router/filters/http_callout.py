"""``http``: a service that gets bodies and sends back what is to become of them.

A request is posted to ``{url}{path of the request}`` as JSON (``bodies`` has what it looks like):

    200 to 299, a JSON object       it replaces the body; ``{"answer": ...}`` alone answers the client
    204                             nothing changes
    400 to 499                      the request is refused with this status and the service's message
    anything else, no answer        a failure: ``on_error`` decides

As an output filter the service gets the answer in the client's dialect, at the same path and with the same
``x-request-id``. A whole answer is posted as JSON, and the JSON that comes back is the answer. Of a stream it gets
whole events (``text/event-stream``), as many as have arrived, one post after the other, the end of the stream
included; the events that come back, perhaps none for now, are what the client gets. 204 passes on what was posted,
400 to 499 ends the answer with the service's message as a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from yarl import URL

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.errors import UpstreamProtocolError
from router.filters.base import AnswerFilter, AnswerOutcome, Blocked, Rejection, RequestOutcome
from router.filters.bodies import BodyView, read_back
from router.filters.forwarding import HeaderForwarding
from router.filters.service_messages import message_of
from router.filters.whole_answer import WholeAnswer
from router.upstream.http import Endpoint, HttpClient

_MAX_ERROR_BYTES = 64 * 1024
_STREAM_HEADERS = {"content-type": "text/event-stream"}


class HttpFilter:
    """One HTTP service.

    ``service`` is where it listens, with the wait for its answer and the headers of its own; ``max_response_bytes``
    bounds what it may send back.
    """

    def __init__(
        self,
        service: Endpoint,
        view: BodyView,
        client: HttpClient,
        forwarding: HeaderForwarding,
        *,
        max_response_bytes: int,
    ) -> None:
        self.name = service.name
        self._service = service
        self._view = view
        self._client = client
        self._forwarding = forwarding
        self._max_response_bytes = max_response_bytes
        self._endpoints: dict[tuple[str, bool], Endpoint] = {}

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """What the service makes of the request. Raises ``UpstreamError`` when it fails."""
        body = self._view.encode(request)
        answer = await self._posted(body, context, stream=False)
        if isinstance(answer, Rejection):
            return answer
        if answer is None:
            return request
        return read_back(self._view, request, body, self._json(answer), self.name)

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter:
        """Who shows an answer to the service: event by event, or whole where the client wants it whole."""
        if request.stream:

            async def post(events: bytes) -> bytes | Blocked:
                return await self._looked_at(events, context, stream=True)

            return _EventStream(post, request, self.name, self._max_response_bytes)

        async def judge(completion: JsonObject) -> JsonObject | Blocked:
            sent = CLIENT_DIALECTS[request.dialect].encode_completion(completion, request)
            answer = await self._looked_at(sent, context, stream=False)
            if isinstance(answer, Blocked):
                return answer
            if answer == sent:
                return completion
            return PROVIDER_DIALECTS[request.dialect].decode_completion(answer, self.name)

        return WholeAnswer(judge)

    async def _looked_at(self, answer: bytes, context: RequestContext, *, stream: bool) -> bytes | Blocked:
        passed = await self._posted(answer, context, stream=stream)
        if passed is None:
            return answer
        return Blocked(passed.message) if isinstance(passed, Rejection) else passed

    async def _posted(self, body: bytes, context: RequestContext, *, stream: bool) -> bytes | Rejection | None:
        """The body of a good answer, ``None`` for 204, a rejection for 4xx. Raises ``UpstreamError`` for the rest."""
        endpoint = self._endpoint(context.path, stream)
        async with self._client.post(endpoint, body, self._forwarding.headers(context)) as response:
            status = response.status
            if status == HTTPStatus.NO_CONTENT:
                return None
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return await response.read(self._max_response_bytes)
            if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
                message = message_of(await response.read(_MAX_ERROR_BYTES))
                return Rejection(message or f"The filter '{self.name}' refused this.", status)
            raise UpstreamProtocolError(f"'{self.name}' answered with status {status}.")

    def _endpoint(self, path: str, stream: bool) -> Endpoint:
        # The paths are those that a listener offers, so there are only so many.
        endpoint = self._endpoints.get((path, stream))
        if endpoint is None:
            service = self._service
            headers = {**service.headers, **_STREAM_HEADERS} if stream else service.headers
            url = URL(str(service.url).rstrip("/") + path)
            endpoint = self._endpoints[path, stream] = Endpoint(self.name, url, service.timeout_s, headers)
        return endpoint

    def _json(self, answer: bytes) -> object:
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError as exc:
            raise UpstreamProtocolError(f"'{self.name}' sent something that is not valid JSON.") from exc


class _EventStream:
    """A streamed answer, in the client's dialect on its way to the service, and canonical again behind it."""

    __slots__ = ("_decoder", "_encoder", "_post", "_sent")

    def __init__(
        self, post: Callable[[bytes], Awaitable[bytes | Blocked]], request: ChatRequest, name: str, max_bytes: int
    ) -> None:
        self._post = post
        self._encoder = CLIENT_DIALECTS[request.dialect].stream_encoder(request)
        self._decoder = PROVIDER_DIALECTS[request.dialect].stream_decoder(name, max_bytes)
        self._sent: list[JsonObject] = []

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        self._sent += chunks
        return await self._passed(b"".join([self._encoder.feed(chunk) for chunk in chunks]))

    async def finish(self) -> AnswerOutcome:
        passed = await self._passed(self._encoder.finish())
        return passed if isinstance(passed, Blocked) else passed + self._decoder.finish()

    def held(self) -> list[JsonObject]:
        return self._sent

    async def _passed(self, events: bytes) -> AnswerOutcome:
        if not events:
            return []  # the encoder waits for more
        answer = await self._post(events)
        if isinstance(answer, Blocked):
            return answer
        passed = self._decoder.feed(answer)
        self._sent = []
        return passed
