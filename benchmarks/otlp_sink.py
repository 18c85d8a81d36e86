"""A collector that takes OTLP over HTTP and counts what it gets; ``GET /stats`` says how much that was."""

from __future__ import annotations

import asyncio
import gzip

import uvloop
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT = 9118


class Sink:
    """Counts spans and bytes."""

    def __init__(self) -> None:
        self.spans = 0
        self.bodies: list[bytes] = []

    async def traces(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    async def other(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")

    async def stats(self, request: web.Request) -> web.Response:
        """Counting is done here, so that it takes nothing from what is measured."""
        bodies, self.bodies = self.bodies, []
        for body in bodies:
            plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            message = ExportTraceServiceRequest.FromString(plain)
            self.spans += sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)
        return web.json_response({"spans": self.spans})


async def serve() -> None:
    sink = Sink()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", sink.traces)
    app.router.add_post("/{other:.*}", sink.other)
    app.router.add_get("/stats", sink.stats)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
