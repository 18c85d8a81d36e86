"""One exchange under external processing: a request of a client on one side, the upstream that Envoy asks on the other.

A listener serves it as it serves those of its own connections (``read``, ``send``, ``begin``, ``write``, ``end``); the
client of upstreams goes through ``forward``. What becomes of either is messages to Envoy, in ``sent``.

The head of an answer is held back until its first bytes are there, as everywhere else: so a failure, or a guard, can
still choose the status.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.aio import timeout
from router.context import RequestContext
from router.errors import PayloadTooLarge, UpstreamProtocolError, UpstreamUnreachable
from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.ext_proc import messages
from router.services.ext_proc.facts import decided
from router.services.ext_proc.phases import Message, Phase, following
from router.services.ext_proc.request import CarriedRequest
from router.services.ext_proc.upstream import CarriedAnswer, forwarded_head
from router.upstream.http import Endpoint

_MAX_UNSENT = 64  # messages; beyond, the answer is not read on
ROUTES_HEADER = "x-trident-route"


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """``route_header`` names the agent or provider for Envoy's routes.

    ``credentials``: upstreams get the keys that the configuration has for them from here, not from Envoy.
    ``max_answer_bytes`` bounds what is answered without any upstream.
    """

    route_header: str
    credentials: bool
    max_body_bytes: int
    max_answer_bytes: int


class EnvoyExchange:
    """What Envoy says goes to ``take``; what it is to be told comes out of ``sent``.

    ``reads_answer``: the answer is looked at. ``context`` is set by whoever records the request, ``relayed`` is the
    status of an answer that goes out as it is; ``on_relay`` is told then that the request needs no more serving.
    """

    def __init__(self, options: ExchangeOptions) -> None:
        self.phase: Phase = "waiting"
        self.reads_answer = True
        self.context: RequestContext | None = None
        self.relayed: int | None = None
        self.on_relay: Callable[[], None] = lambda: None
        self.sent: deque[wire.ProcessingResponse] = deque()
        self.news = asyncio.Event()
        self._options = options
        self._request = CarriedRequest(options.max_body_bytes)
        self._arrived = asyncio.Event()
        self._answer = CarriedAnswer()
        self._bodiless = True  # the answer, which can then get no body from us
        self._ends_in_trailers = False
        self._collected: tuple[int, dict[str, str], list[bytes]] | None = None
        self._collected_bytes = 0
        self._upstream: str | None = None
        self._room = asyncio.Event()

    # Envoy's side

    async def take(self, message: Message, request: wire.ProcessingRequest) -> None:
        """One message of Envoy. Raises ``InvalidRequest`` where it cannot come; waits where too much is unread."""
        before = self.phase
        self.phase = following(before, message)
        if before in ("passing", "ended") or self.phase == "passing":
            self._let_through(message, request, before)
        elif message.startswith("response"):
            await self._take_answer(message, request)
        elif before == "forwarded":
            self._send(messages.unchanged(message, request, duplex=False))
        else:
            self._take_request(message, request)

    def hear_no_more(self) -> None:
        """Envoy says nothing more: what is still awaited from it does not come."""
        self._answer.lose()

    @property
    def awaits_request(self) -> bool:
        """Whether the request is not all here."""
        return not self._request.whole

    def look_at(self, *, answers: bool) -> None:
        """The request is one of ours; ``answers``: so is its answer.

        Raises ``InvalidRequest`` where Envoy is configured not to send it.
        """
        observing = self.phase == "observing"
        self.reads_answer = observing or self._request.answer_mode(wanted=answers)

    def pass_on(self) -> None:
        """The request is none of ours: nobody looks at it or at its answer."""
        self.phase = following(self.phase, "pass")
        ours = (ROUTES_HEADER, self._options.route_header)  # which nobody else may set
        common = wire.CommonResponse(header_mutation=messages.mutation({}, ours), clear_route_cache=True)
        self._send(messages.headers_response("request_headers", common, messages.UNSEEN))

    def settle(self) -> None:
        """The request has been served; nobody reads what may still come of the answer."""
        self._answer.abandon()
        self.news.set()

    @property
    def over(self) -> bool:
        """Nothing more has to be said to Envoy, which goes on by itself when it is left alone."""
        given_back = self._request.gives_back("request") or self._request.gives_back("response")
        return self.phase == "ended" or (self.phase == "passing" and not given_back)

    # The listener's side

    @property
    def method(self) -> str:
        return self._request.method

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def query(self) -> str:
        return self._request.query

    @property
    def headers(self) -> Mapping[str, str]:
        return self._request.headers

    async def read(self, timeout_s: float) -> bytes:
        """The body, within ``timeout_s``. Raises ``PayloadTooLarge`` and ``TimeoutError``."""
        request = self._request
        if not request.whole and request.held and not request.unprompted:
            request.held = False
            mode = messages.override(reads_body=True, reads_answer=self.reads_answer)
            self._send(messages.headers_response("request_headers", wire.CommonResponse(), mode))
        async with timeout(timeout_s):
            await self._arrived.wait()
        if request.too_large:
            limit = self._options.max_body_bytes
            raise PayloadTooLarge(f"The body is larger than {limit} bytes (limits.max_body_bytes).")
        return request.body

    @property
    def writing_paused(self) -> bool:
        """Whether Envoy takes messages more slowly than they are made."""
        return len(self.sent) >= _MAX_UNSENT

    async def drained(self) -> None:
        """Wait until Envoy has taken most of them."""
        while self.writing_paused:
            self._room.clear()
            await self._room.wait()

    def took(self) -> None:
        """Messages have been taken out of ``sent``."""
        self._room.set()

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer the client."""
        if self.phase == "answering" and self._answer.finished and not self._bodiless:
            self.begin(status, headers)
            self.write(body)
            self.end()
            return
        self.phase = following(self.phase, "reply")
        self._send(self._told(messages.immediate(status, headers, body)))

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin to answer the client with a stream."""
        if self.phase != "answering" or self._bodiless:
            self._collected = (status, dict(headers), [])
            return
        self.phase = following(self.phase, "begin")
        theirs = [name.decode("utf-8", "replace") for name in self._answer.headers]
        mutation = messages.mutation({":status": str(status), **headers}, messages.removable(theirs))
        self._send(messages.headers_response("response_headers", wire.CommonResponse(header_mutation=mutation)))

    def write(self, data: bytes) -> None:
        """A piece of the stream. Raises ``UpstreamProtocolError`` where too much is given without an upstream."""
        if self._collected is not None:
            self._collected_bytes += len(data)
            if self._collected_bytes > self._options.max_answer_bytes:
                limit = self._options.max_answer_bytes
                self._collected = (*self._collected[:2], [])  # what may still follow is why it ended
                self._collected_bytes = 0
                raise UpstreamProtocolError(f"The answer is larger than {limit} bytes (limits.max_response_bytes).")
            self._collected[2].append(data)
        elif data:
            for piece in messages.pieces("response_body", data, last=False):
                self._send(piece)

    def end(self) -> None:
        """End the stream well."""
        if self._collected is not None:
            status, headers, parts = self._collected
            self._collected = None
            self.send(status, headers, b"".join(parts))
            return
        self.phase = following(self.phase, "end")
        if self._ends_in_trailers:
            last = messages.trailers_response("response_trailers")
        else:
            [last] = messages.pieces("response_body", b"", last=True)
        self._send(self._told(last))

    def abort(self) -> None:
        """Nothing to cut off: Envoy closes what the client does not read."""

    # The side of upstreams

    def forward(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> CarriedAnswer:
        """Let the request go on to ``endpoint``; see ``Carrier``."""
        if self._upstream is not None or self.phase not in ("reading", "observing"):
            raise UpstreamUnreachable(f"'{endpoint.name}' cannot be asked: Envoy has asked somebody else.")
        self._upstream = endpoint.name
        self.phase = following(self.phase, "forward")
        told = forwarded_head(endpoint, headers, credentials=self._options.credentials)
        told |= {"content-length": str(len(body)), ROUTES_HEADER: self._routes()}
        told[self._options.route_header] = endpoint.name
        # What the gateway itself would not send on goes no further, whatever the client sent.
        head = messages.mutation(told, self._request.removable)
        first, *rest = self._request.released(head, body, reads_answer=self.reads_answer)
        self._send(self._told(first))
        for each in rest:
            self._send(each)
        return self._answer

    def _take_request(self, message: Message, request: wire.ProcessingRequest) -> None:
        if message == "request_headers":
            self._request.take_head(request)
            if request.observability_mode:
                self.phase = "observing"
        elif message == "request_body":
            self._request.take_body(request.request_body)
        else:
            self._request.take_trailers()
        if self._request.whole:
            self._arrived.set()

    async def _take_answer(self, message: Message, request: wire.ProcessingRequest) -> None:
        if message == "response_headers":
            self._take_answer_head(request.response_headers)
        elif message == "response_body":
            await self._answer.feed(request.response_body.body)
            if request.response_body.end_of_stream:
                self._answer.finish()
        else:
            self._ends_in_trailers = True
            self._answer.finish()

    def _take_answer_head(self, head: wire.HttpHeaders) -> None:
        fields = messages.answer_fields(head.headers)
        status = fields.pop(b":status", b"")
        number = int(status) if status.isdigit() else 0
        self._bodiless = head.end_of_stream
        if self.reads_answer:
            self._answer.begin(number, fields)
            if head.end_of_stream:
                self._answer.finish()
            return
        self.phase = following(self.phase, "relay")
        ours = {ROUTES_HEADER: self._routes()}
        if self.context is not None:
            ours["x-request-id"] = self.context.request_id
        common = wire.CommonResponse(header_mutation=messages.mutation(ours))
        self._send(self._told(messages.headers_response("response_headers", common, messages.UNSEEN)))
        self._relay(number)

    def _routes(self) -> str:
        if self.context is not None and self.context.decision is not None:
            return ", ".join(self.context.decision.routes)
        return self._upstream or ""

    def _let_through(self, message: Message, request: wire.ProcessingRequest, before: Phase) -> None:
        if before == "ended":
            return
        if before == "reading":  # an answer of Envoy's own; what we were about to decide is of no use
            status = messages.fields(request.response_headers.headers).get(":status", "")
            self._relay(int(status) if status.isdigit() else 0)
        side = message.partition("_")[0]
        self._send(messages.unchanged(message, request, duplex=self._request.gives_back(side)))

    def _relay(self, status: int) -> None:
        self.relayed = status
        self.on_relay()

    def _told(self, response: wire.ProcessingResponse) -> wire.ProcessingResponse:
        """``response`` with what is known about the request."""
        if self.context is None:
            return response
        return messages.with_metadata(response, decided(self.context, self._upstream))

    def _send(self, response: wire.ProcessingResponse) -> None:
        if self.phase != "observing":
            self.sent.append(response)
            self.news.set()
