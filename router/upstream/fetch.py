"""Fetching a document: one bounded GET over the shared client, no redirects."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from yarl import URL

from router.aio import timeout
from router.errors import UpstreamProtocolError, UpstreamTimeout
from router.upstream.http import Endpoint, HttpClient


class Fetcher:
    """Fetches whole documents of at most ``max_bytes``, each within ``timeout_s``."""

    def __init__(self, client: HttpClient, *, max_bytes: int = 16 * 1024 * 1024, timeout_s: float = 30.0) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    def endpoint(self, name: str, url: URL) -> Endpoint:
        """Where a document is; ``name`` is what failures call it. Raises ``ValueError`` for a URL that cannot be."""
        return Endpoint(name, url, self._timeout_s, method="GET")

    async def fetch(self, endpoint: Endpoint) -> bytes:
        """The document. Raises ``UpstreamError``, for any status but 200 too."""
        try:
            async with timeout(self._timeout_s), self._client.get(endpoint, {}) as response:
                if response.status != HTTPStatus.OK:
                    raise UpstreamProtocolError(f"'{endpoint.name}' answered with status {response.status}.")
                return await response.read(self._max_bytes)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise UpstreamTimeout(f"'{endpoint.name}' did not answer in time.") from exc
