"""The request of an exchange as Envoy sends it, in whatever mode, and how it goes on (no I/O)."""

from __future__ import annotations

from collections.abc import Mapping

from router.errors import InvalidRequest
from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.calls import Metadata
from router.services.ext_proc import messages
from router.services.ext_proc.messages import FULL_DUPLEX_STREAMED, STREAMED


class CarriedRequest:
    """Head, then body. ``whole``: all of it is here, or it is too large and so of no use.

    ``held``: the answer to the head is still owed, which may be until the body is here. ``unprompted``: Envoy sends the
    body without waiting for it; then Envoy also lets nobody override its modes.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self.method = ""
        self.path = ""
        self.query = ""
        self.headers: Mapping[str, str] = Metadata({})
        self.whole = False
        self.too_large = False
        self.held = True
        self._max_body_bytes = max_body_bytes
        self._config = wire.ProtocolConfiguration()
        self._fields: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._bytes = 0
        self._pieces = 0
        self._trailers = False

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._parts)

    @property
    def unprompted(self) -> bool:
        config = self._config
        waits = not config.send_body_without_waiting_for_header_response
        return self.gives_back("request") or (config.request_body_mode == STREAMED and not waits)

    @property
    def removable(self) -> list[str]:
        """The fields of the client's head that are not Envoy's own."""
        return messages.removable(self._fields)

    def gives_back(self, side: str) -> bool:
        """Whether nothing of this side's body goes on that is not given back; as configured in Envoy."""
        config = self._config
        mode = config.request_body_mode if side == "request" else config.response_body_mode
        return mode == FULL_DUPLEX_STREAMED

    def take_head(self, request: wire.ProcessingRequest) -> None:
        """The head is here."""
        head = request.request_headers
        self._config.CopyFrom(request.protocol_config)
        self._fields = messages.fields(head.headers)
        self.headers = Metadata(self._fields)
        self.method = self._fields.get(":method", "")
        self.path, _, self.query = self._fields.get(":path", "").partition("?")
        self.whole = head.end_of_stream

    def take_body(self, part: wire.HttpBody) -> None:
        """A piece of the body is here."""
        self._pieces += 1
        self._bytes += len(part.body)
        if self._bytes <= self._max_body_bytes:
            self._parts.append(part.body)
        else:
            self._parts.clear()
            self.too_large = self.whole = True
        self.whole = self.whole or part.end_of_stream

    def take_trailers(self) -> None:
        """The trailers are here, so that nothing more follows."""
        self._trailers = self.whole = True

    def answer_mode(self, *, wanted: bool) -> bool:
        """Whether the answer is seen. Raises ``InvalidRequest`` where it is ``wanted``, and Envoy will not send it."""
        if not self.unprompted:
            return wanted
        if wanted and not self.gives_back("response"):
            raise InvalidRequest(
                "'response_body_mode' has to be FULL_DUPLEX_STREAMED where the request's body is sent."
            )
        return self.gives_back("response")

    def released(self, head: wire.HeaderMutation, body: bytes, *, reads_answer: bool) -> list[wire.ProcessingResponse]:
        """What lets the request go on with another head and body: an answer to each message that is owed one."""
        changed = wire.CommonResponse(header_mutation=head, clear_route_cache=True)
        if not self.held:
            changed.body_mutation.body = body
            return [messages.body_response("request_body", changed)]
        self.held = False
        mode = messages.override(reads_body=False, reads_answer=reads_answer)
        if not self._pieces and not self._trailers:  # there was no body
            return [messages.headers_response("request_headers", messages.replaced(head, body), mode)]
        told = [messages.headers_response("request_headers", changed)]
        if self.gives_back("request"):
            told += messages.pieces("request_body", body, last=not self._trailers)
        else:
            cleared = wire.CommonResponse(body_mutation=wire.BodyMutation(clear_body=True))
            told += [messages.body_response("request_body", cleared)] * (self._pieces - 1)
            last = wire.CommonResponse(body_mutation=wire.BodyMutation(body=body))
            told.append(messages.body_response("request_body", last))
        return [*told, messages.trailers_response("request_trailers")] if self._trailers else told
