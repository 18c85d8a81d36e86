"""A server that says JSON, for commands that run an event loop of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonServer:
    """Answers ``GET /v1/models`` with ``payload`` and any ``POST`` with what ``posted`` makes of its body.

    Other paths are 404, and so is everything 401 without ``key``. ``requests`` are methods, paths and bodies.
    """

    def __init__(
        self,
        payload: object,
        *,
        status: int = 200,
        posted: Callable[[Any], tuple[int, object]] = lambda body: (404, {}),
        key: str | None = None,
    ) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._read()
                self._answer(status if self.path == "/v1/models" else 404, payload)

            def do_POST(self) -> None:
                self._answer(*posted(json.loads(self._read())))

            def _read(self) -> bytes:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                outer.requests.append((self.command, self.path, body))
                return body

            def _answer(self, found: int, content: object) -> None:
                allowed = key is None or self.headers["authorization"] == f"Bearer {key}"
                body = json.dumps(content).encode()
                self.send_response(found if allowed else 401)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> JsonServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
