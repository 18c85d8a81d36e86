"""What a listener with state offers, as an HTTP server in front of one that has none.

async with stateful_front(gateway.url, MemoryStore()) as front:
    front.sdk().responses.create(...)              # front.url, front.store, front.degraded
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import openai
from aiohttp import web

from router.context import Identity, RequestContext
from router.conversations.archive import Archive, Bounds
from router.conversations.conversations import Conversations
from router.conversations.responses import Responses
from router.dialects import openai_responses
from router.dialects.sse import EventSplitter
from router.errors import GatewayError
from router.handlers.conversation_objects import ConversationObjects
from router.handlers.conversations import StatefulResponses, StatePolicy
from router.handlers.reply import EVENT_STREAM, ByteStream, Reply
from router.listeners import middleware
from router.listeners.paths import PathTable
from router.state.base import Store

BOUNDS = Bounds(ttl_s=3600, max_response_bytes=1024 * 1024, max_items=1000, max_bytes=4 * 1024 * 1024)
TENANT_HEADER = "X-Tenant"
_KEY = "client-key"

Handler = Callable[[RequestContext, bytes], Awaitable[Reply]]


@dataclass
class Front:
    """A running front; ``degraded`` has a context for each answer that was not kept, but should have been."""

    url: str
    store: Store
    degraded: list[str] = field(default_factory=list)

    def sdk(self, *, key: str = _KEY, tenant: str | None = None) -> openai.AsyncOpenAI:
        """The official client, which checks what it gets; the name of its key is the key."""
        headers = {} if tenant is None else {TENANT_HEADER: tenant}
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=key,
            max_retries=0,
            default_headers=headers,
            _strict_response_validation=True,
        )


def table(
    inner: Handler, store: Store, bounds: Bounds, policy: StatePolicy, count: Callable[[], None]
) -> PathTable[dict[str, Handler]]:
    """Everything that has to do with state, by path."""
    archive = Archive(store, bounds)
    conversations = Conversations(archive)
    responses = Responses(archive, conversations)
    stateful = StatefulResponses(inner, archive, responses, conversations, policy, count_degraded=count)
    objects = ConversationObjects(responses, conversations, tenant_header=policy.tenant_header)
    return PathTable({openai_responses.PATH: {"POST": stateful.create}, **objects.paths()})


@asynccontextmanager
async def stateful_front(
    upstream: str, store: Store, *, bounds: Bounds = BOUNDS, by_default: bool = True
) -> AsyncIterator[Front]:
    """Serves until the end; ``store`` stays open."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        front = Front("", store)
        policy = StatePolicy(by_default, TENANT_HEADER)
        paths = table(_relay(session, upstream), store, bounds, policy, lambda: front.degraded.append("state"))
        runner = web.AppRunner(_app(paths), handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield front


def _app(paths: PathTable[dict[str, Handler]]) -> web.Application:
    async def serve(request: web.Request) -> web.StreamResponse:
        match = paths.find(request.path)
        if match is None or request.method not in match.found:
            return web.Response(status=404)
        context = RequestContext(
            "req-1",
            "front",
            request.path,
            {name.lower(): value for name, value in request.headers.items()},
            time.monotonic() + 30,
            dialect="openai_responses",
            identity=Identity(request.headers["Authorization"].removeprefix("Bearer ")),
            path_parameters=match.parameters,
            query=request.query_string,
        )
        reply = await middleware.answer(match.found[request.method], context, await request.read())
        return await _sent(request, reply, context)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", serve)
    return app


async def _sent(request: web.Request, reply: Reply, context: RequestContext) -> web.StreamResponse:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    if context.degraded:
        headers["x-trident-degraded"] = ", ".join(context.degraded)
    if isinstance(reply.body, bytes):
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    try:
        async for events in reply.body:
            await response.write(events)
    except GatewayError as exc:
        assert reply.encode_stream_error is not None
        await response.write(reply.encode_stream_error(exc, context.request_id))
    finally:
        await reply.body.aclose()
    return response


def _relay(session: aiohttp.ClientSession, upstream: str) -> Handler:
    async def inner(context: RequestContext, body: bytes) -> Reply:
        headers = {"content-type": "application/json"}
        response = await session.post(upstream + context.path, data=body, headers=headers)
        if response.content_type == EVENT_STREAM:
            stream = await ByteStream.start(_events(response))
            return Reply(200, EVENT_STREAM, stream, {}, openai_responses.encode_stream_error)
        async with response:
            return Reply(response.status, response.content_type, await response.read())

    return inner


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    splitter = EventSplitter(16 * 1024 * 1024)
    async with response:
        async for data in response.content.iter_any():
            if events := splitter.feed(data):
                yield events
