"""A worker that answers requests until it is killed: every answer that a client could use is a line on its output.

python crash_worker.py STORE SEED, where STORE is the URL of a PostgreSQL or the path of a SQLite file.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson

from router.config.state import StateStorage
from router.context import RequestContext
from router.conversations.archive import Archive, Bounds
from router.conversations.conversations import Conversations
from router.conversations.ids import scope_of
from router.conversations.responses import Responses
from router.dialects import openai_responses
from router.handlers.conversations import StatefulResponses, StatePolicy
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.state.base import Store
from router.state.opening import open_conversation_store

BOUNDS = Bounds(ttl_s=3600, max_response_bytes=1 << 20, max_items=10_000, max_bytes=1 << 26)
_AT_ONCE = 4


async def open_store(location: str) -> Store:
    """The store as the gateway opens it."""
    kind = "postgres" if location.startswith("postgresql://") else "sqlite"
    storage = StateStorage.model_validate({"type": kind, "connection_string": location})
    return await open_conversation_store(storage, directory=Path("/nonexistent"), workers=2)


def context() -> RequestContext:
    return RequestContext("req-1", "front", "/v1/responses", {}, time.monotonic() + 60)


SCOPE = scope_of(context(), None)


def output_of(said: str) -> list[dict[str, Any]]:
    """What is answered to an input."""
    text = said[::-1] * 20
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return [{"id": f"msg_{said}", "type": "message", "role": "assistant", "status": "completed", "content": content}]


async def _inner(asked: RequestContext, body: bytes) -> Reply:
    request = orjson.loads(body)
    said = request["input"] if isinstance(request["input"], str) else request["input"][-1]["content"]
    response = {"id": "resp_theirs", "object": "response", "status": "completed", "output": output_of(said)}
    if not request.get("stream"):
        return Reply(200, JSON, orjson.dumps(response))
    stream = await ByteStream.start(_events(response))
    return Reply(200, EVENT_STREAM, stream, {}, openai_responses.encode_stream_error)


async def _events(response: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    for kind in ("created", "completed"):
        data = orjson.dumps({"type": f"response.{kind}", "response": response})
        yield b"event: response.%b\ndata: %b\n\n" % (kind.encode(), data)
        await asyncio.sleep(0)


async def _response_id(reply: Reply) -> str:
    """What a client knows as soon as it has read that the response is complete; it hangs up then."""
    if isinstance(reply.body, bytes):
        return str(orjson.loads(reply.body)["id"])
    async with aclosing(reply.body):
        async for events in reply.body:
            event = orjson.loads(events.split(b"data: ")[1])
            if event["type"] == "response.completed":
                return str(event["response"]["id"])
    raise AssertionError(events)


async def _client(number: int, seed: int, stateful: StatefulResponses, conversation_id: str) -> None:
    chance = random.Random(f"{seed}-{number}")
    last: str | None = None
    for turn in range(100_000):
        said = f"{seed}-{number}-{turn}"
        fields: dict[str, Any] = {"input": said, "stream": chance.random() < 0.5}
        way = chance.choice(["alone", "after", "conversation"])
        if way == "after" and last is not None:
            fields["previous_response_id"] = last
        elif way == "conversation":
            fields["conversation"] = conversation_id
        id_ = await _response_id(await stateful.create(context(), orjson.dumps(fields)))
        told = {"id": id_, "said": said, "after": fields.get("previous_response_id")}
        print(json.dumps({**told, "conversation": fields.get("conversation")}), flush=True)
        last = id_


async def _main(location: str, seed: int) -> None:
    store = await open_store(location)
    archive = Archive(store, BOUNDS)
    conversations = Conversations(archive)
    responses = Responses(archive, conversations)
    stateful = StatefulResponses(
        _inner, archive, responses, conversations, StatePolicy(), count_degraded=lambda: sys.exit("not kept")
    )
    conversation = await conversations.create(SCOPE, {}, [])
    await asyncio.gather(*(_client(number, seed, stateful, conversation.id) for number in range(_AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
