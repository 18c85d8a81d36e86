"""The floor: the least that an honest aiohttp reverse proxy does. Trident is measured against it.

python benchmarks/floor.py [--port 9101] [--agent http://127.0.0.1:9100]

It reads and parses the request, sends it on over a kept connection, and relays the answer, a stream piece by piece.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

import aiohttp
import orjson
import uvloop
from aiohttp import web

AGENT = web.AppKey("agent", str)
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def complete(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return web.json_response({"error": {"message": "invalid JSON"}}, status=400)
    headers = {"content-type": "application/json"}
    async with request.app[SESSION].post(request.app[AGENT], data=body, headers=headers) as upstream:
        if upstream.content_type != "text/event-stream":
            return web.Response(body=await upstream.read(), status=upstream.status, content_type=upstream.content_type)
        response = web.StreamResponse(status=upstream.status, headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        async for piece in upstream.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def client_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app[SESSION] = session
        yield


def build_app(agent: str) -> web.Application:
    app = web.Application()
    app[AGENT] = f"{agent}/v1/chat/completions"
    app.cleanup_ctx.append(client_session)
    app.router.add_post("/v1/chat/completions", complete)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9101)
    parser.add_argument("--agent", default="http://127.0.0.1:9100")
    arguments = parser.parse_args()
    uvloop.install()
    web.run_app(
        build_app(arguments.agent), host="127.0.0.1", port=arguments.port, access_log=None, handler_cancellation=True
    )
