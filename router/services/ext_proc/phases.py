"""How far one exchange has come under external processing, as a table (no I/O).

Events of Envoy have the names of its messages, ours are these: ``pass`` (the path is none of ours), ``forward`` (the
request goes upstream), ``reply`` (the client gets an answer of ours), ``begin`` (the head of the answer goes out),
``relay`` (the answer goes out as it is), ``end`` (nothing follows).

phase      event                              next
waiting    request_headers                    reading    what follows is the request
reading    request_body, request_trailers     reading
reading    pass                               passing
reading    forward                            forwarded
reading    reply                              ended
reading    response_headers                   passing    Envoy answers by itself, for example because it waited too long
forwarded  request_body, request_trailers     forwarded  what we have no use for
forwarded  response_headers                   answering
forwarded  reply                              ended
answering  response_body, response_trailers   answering
answering  relay                              passing
answering  reply                              ended      the head has not gone out
answering  begin                              begun
begun      response_body, response_trailers   begun
begun      end                                ended
passing    any message                        passing    is let through as it is
ended      any message                        ended      is not answered
observing  anything                           observing  Envoy does not listen

Whatever is not in the table breaks the protocol. A filter that only lets us watch makes ``observing`` of ``waiting``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from router.errors import InvalidRequest

Phase: TypeAlias = Literal["waiting", "reading", "forwarded", "answering", "begun", "passing", "ended", "observing"]
Message: TypeAlias = Literal[
    "request_headers", "request_body", "request_trailers", "response_headers", "response_body", "response_trailers"
]
Decision: TypeAlias = Literal["pass", "forward", "reply", "begin", "relay", "end"]
Event: TypeAlias = Message | Decision

MESSAGES: tuple[Message, ...] = get_args(Message)

TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = MappingProxyType(
    {
        ("waiting", "request_headers"): "reading",
        ("reading", "request_body"): "reading",
        ("reading", "request_trailers"): "reading",
        ("reading", "pass"): "passing",
        ("reading", "forward"): "forwarded",
        ("reading", "reply"): "ended",
        ("reading", "response_headers"): "passing",
        ("forwarded", "request_body"): "forwarded",
        ("forwarded", "request_trailers"): "forwarded",
        ("forwarded", "response_headers"): "answering",
        ("forwarded", "reply"): "ended",
        ("answering", "response_body"): "answering",
        ("answering", "response_trailers"): "answering",
        ("answering", "relay"): "passing",
        ("answering", "reply"): "ended",
        ("answering", "begin"): "begun",
        ("begun", "response_body"): "begun",
        ("begun", "response_trailers"): "begun",
        ("begun", "end"): "ended",
        **{("passing", message): "passing" for message in MESSAGES},
        **{("ended", message): "ended" for message in MESSAGES},
        **{("observing", event): "observing" for event in (*MESSAGES, *get_args(Decision))},
    }
)


def following(phase: Phase, event: Event) -> Phase:
    """The phase after ``event``. Raises ``InvalidRequest`` where there is none, which is a breach of the protocol."""
    found = TRANSITIONS.get((phase, event))
    if found is None:
        raise InvalidRequest(f"'{event}' cannot come while the exchange is {phase}.")
    return found
