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
from router.errors import PayloadTooLarge, UpstreamUnreachable
from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.calls import Metadata
from router.services.ext_proc import messages
from router.services.ext_proc.facts import decided
from router.services.ext_proc.phases import Message, Phase, following
from router.services.ext_proc.upstream import CarriedAnswer, forwarded_head
from router.upstream.http import Endpoint

_MAX_UNSENT = 64  # messages; beyond, the answer is not read on
_CONTINUE = wire.CommonResponse
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
        self.method = ""
        self.path = ""
        self.query = ""
        self.headers: Mapping[str, str] = Metadata({})
        self.reads_answer = True
        self.context: RequestContext | None = None
        self.relayed: int | None = None
        self.on_relay: Callable[[], None] = lambda: None
        self.sent: deque[wire.ProcessingResponse] = deque()
        self.news = asyncio.Event()
        self._options = options
        self._fields: dict[str, str] = {}
        self._config = wire.ProtocolConfiguration()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_pieces = 0
        self._body_whole = asyncio.Event()
        self._head_held = True
        self._trailers: set[Message] = set()
        self._answer = CarriedAnswer()
        self._answer_fields: dict[bytes, bytes] = {}
        self._bodiless = True  # the answer, which can then get no body from us
        self._collected: tuple[int, dict[str, str], list[bytes]] | None = None
        self._upstream: str | None = None
        self._room = asyncio.Event()

    # Envoy's side

    async def take(self, message: Message, request: wire.ProcessingRequest) -> None:
        """One message of Envoy. Raises ``InvalidRequest`` where it cannot come; waits where too much is unread."""
        before = self.phase
        self.phase = following(before, message)
        if before in ("passing", "ended") or self.phase == "passing":
            self._let_through(message, request, before)
        elif message == "request_headers":
            self._take_head(request)
        elif message == "request_body":
            self._take_body(request.request_body)
        elif message == "request_trailers":
            self._trailers.add(message)
            self._end_body(message)
        elif message == "response_headers":
            self._take_answer_head(request.response_headers)
        elif message == "response_body":
            await self._answer.feed(request.response_body.body)
            if request.response_body.end_of_stream:
                self._answer.finish()
        else:
            self._trailers.add(message)
            self._answer.finish()

    def hear_no_more(self) -> None:
        """Envoy says nothing more: what is still awaited from it does not come."""
        self._answer.lose()

    @property
    def awaits_envoy(self) -> bool:
        """Whether the request is not all here."""
        return self.phase in ("waiting", "reading", "observing") and not self._body_whole.is_set()

    def settle(self) -> None:
        """The request has been served; nobody reads what may still come of the answer."""
        self._answer.abandon()
        self.news.set()

    def pass_on(self) -> None:
        """The request is none of ours: nobody looks at it or at its answer."""
        self.phase = following(self.phase, "pass")
        ours = (ROUTES_HEADER, self._options.route_header)  # which nobody else may set
        common = _CONTINUE(header_mutation=messages.mutation({}, ours), clear_route_cache=True)
        self._send(messages.headers_response("request_headers", common, messages.UNSEEN))

    @property
    def over(self) -> bool:
        """Nothing more has to be said to Envoy, which goes on by itself when it is left alone."""
        return self.phase == "ended" or (self.phase == "passing" and not self._gives_back("request_body"))

    # The listener's side

    async def read(self, timeout_s: float) -> bytes:
        """The body, within ``timeout_s``. Raises ``PayloadTooLarge`` and ``TimeoutError``."""
        if not self._body_whole.is_set() and self._head_held and not self._unprompted:
            self._head_held = False
            mode = messages.override(reads_body=True, reads_answer=self.reads_answer)
            self._send(messages.headers_response("request_headers", _CONTINUE(), mode))
        async with timeout(timeout_s):
            await self._body_whole.wait()
        if self._body_bytes > self._options.max_body_bytes:
            limit = self._options.max_body_bytes
            raise PayloadTooLarge(f"The body is larger than {limit} bytes (limits.max_body_bytes).")
        return b"".join(self._body)

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
        if self.phase not in ("answering", "observing") or self._bodiless:
            self._collected = (status, dict(headers), [])
            return
        self.phase = following(self.phase, "begin")
        theirs = [name.decode("utf-8", "replace") for name in self._answer_fields]
        mutation = messages.mutation({":status": str(status), **headers}, messages.removable(theirs))
        self._send(messages.headers_response("response_headers", _CONTINUE(header_mutation=mutation)))

    def write(self, data: bytes) -> None:
        """A piece of the stream."""
        if self._collected is not None:
            self._collected[2].append(data)
            if sum(map(len, self._collected[2])) > self._options.max_answer_bytes:
                raise UpstreamUnreachable("The answer is too large to be given without an upstream.")
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
        if "response_trailers" in self._trailers:
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
        told |= {
            "content-length": str(len(body)),
            ROUTES_HEADER: self._routes(),
            self._options.route_header: endpoint.name,
        }
        # What the gateway itself would not send on goes no further, whatever the client sent.
        head = messages.mutation(told, messages.removable(self._fields))
        first, *rest = self._request_messages(head, body)
        self._send(self._told(first))
        for each in rest:
            self._send(each)
        return self._answer

    def _request_messages(self, head: wire.HeaderMutation, body: bytes) -> list[wire.ProcessingResponse]:
        if not self._head_held:
            common = _CONTINUE(header_mutation=head, body_mutation=wire.BodyMutation(body=body), clear_route_cache=True)
            return [messages.body_response("request_body", common)]
        mode = messages.override(reads_body=False, reads_answer=self.reads_answer)
        if not self._body_pieces and not self._trailers:  # there was no body
            return [messages.headers_response("request_headers", messages.replaced(head, body), mode)]
        mode.request_body_mode = self._config.request_body_mode
        mode.request_trailer_mode = 0
        common = _CONTINUE(header_mutation=head, clear_route_cache=True)
        told = [messages.headers_response("request_headers", common, mode)]
        trailers = "request_trailers" in self._trailers
        if self._gives_back("request_body"):
            told += messages.pieces("request_body", body, last=not trailers)
        else:
            cleared = _CONTINUE(body_mutation=wire.BodyMutation(clear_body=True))
            told += [messages.body_response("request_body", cleared)] * (self._body_pieces - 1)
            whole = _CONTINUE(body_mutation=wire.BodyMutation(body=body))
            told.append(messages.body_response("request_body", whole))
        return [*told, messages.trailers_response("request_trailers")] if trailers else told

    # What Envoy says

    def _take_head(self, request: wire.ProcessingRequest) -> None:
        head = request.request_headers
        self._config.CopyFrom(request.protocol_config)
        self._fields = messages.fields(head.headers)
        self.headers = Metadata(self._fields)
        self.method = self._fields.get(":method", "")
        self.path, _, self.query = self._fields.get(":path", "").partition("?")
        if request.observability_mode:
            self.phase = "observing"
        if head.end_of_stream:
            self._body_whole.set()

    def _take_body(self, part: wire.HttpBody) -> None:
        if self.phase == "forwarded":
            self._send(messages.body_response("request_body", _CONTINUE()))
            return
        self._body_pieces += 1
        self._body_bytes += len(part.body)
        if self._body_bytes <= self._options.max_body_bytes:
            self._body.append(part.body)
        else:
            self._body.clear()
            self._body_whole.set()
        if part.end_of_stream:
            self._end_body("request_body")

    def _end_body(self, message: Message) -> None:
        if message == "request_trailers" and self.phase == "forwarded":
            self._send(messages.trailers_response(message))
        self._body_whole.set()

    def _take_answer_head(self, head: wire.HttpHeaders) -> None:
        found = messages.answer_fields(head.headers)
        status = found.pop(b":status", b"")
        self._answer_fields = found
        self._bodiless = head.end_of_stream
        number = int(status) if status.isdigit() else 0
        if self.reads_answer or self.phase == "observing":
            self._answer.begin(number, found)
            if head.end_of_stream:
                self._answer.finish()
            return
        self.relayed = number
        self.phase = following(self.phase, "relay")
        ours = {"x-request-id": self.context.request_id} if self.context is not None else {}
        if self._upstream is not None:
            ours[ROUTES_HEADER] = self._routes()
        common = _CONTINUE(header_mutation=messages.mutation(ours))
        self._send(self._told(messages.headers_response("response_headers", common, messages.UNSEEN)))
        self.on_relay()

    def _routes(self) -> str:
        if self.context is not None and self.context.decision is not None:
            return ", ".join(self.context.decision.routes)
        return self._upstream or ""

    def _let_through(self, message: Message, request: wire.ProcessingRequest, before: Phase) -> None:
        if before == "ended":
            return
        if before == "reading":  # an answer of Envoy's own; what we were about to decide is of no use
            found = messages.fields(request.response_headers.headers).get(":status", "")
            self.relayed = int(found) if found.isdigit() else 0
            self.on_relay()
        self._send(messages.unchanged(message, request, duplex=self._gives_back(message)))

    def _gives_back(self, message: Message) -> bool:
        """Whether bodies are sent in a mode in which nothing goes on that is not given back."""
        config = self._config
        mode = config.request_body_mode if message.startswith("request") else config.response_body_mode
        return mode == messages.FULL_DUPLEX_STREAMED

    @property
    def _unprompted(self) -> bool:
        """Whether the body comes while the answer to the head is awaited."""
        config = self._config
        streamed = config.request_body_mode == messages.STREAMED
        waits = not config.send_body_without_waiting_for_header_response
        return self._gives_back("request_body") or (streamed and not waits)

    def _told(self, response: wire.ProcessingResponse) -> wire.ProcessingResponse:
        """``response`` with what is known about the request."""
        if self.context is None:
            return response
        return messages.with_metadata(response, decided(self.context, self._upstream))

    def _send(self, response: wire.ProcessingResponse) -> None:
        if self.phase != "observing":
            self.sent.append(response)
            self.news.set()
