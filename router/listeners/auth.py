"""API keys at the door: checked when the head of a request is there, before its body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from router.access.keys import Grant, KeyRing
from router.context import RequestContext
from router.errors import PermissionDenied, Unauthorized
from router.telemetry.metrics import Metrics

# Raises Unauthorized or PermissionDenied, or says in the context whose request it is.
Authenticate: TypeAlias = Callable[[RequestContext], None]

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

_BEARER = "bearer "
_CHALLENGE = 'Bearer realm="trident"'


class KeyAuthentication:
    """Looks for a key of ``ring`` in ``header`` (where there is one), ``x-api-key``, ``api-key`` and ``Authorization``.

    The first that holds a key of ours wins: clients may send a provider's key in another one. Health paths need none.
    """

    def __init__(self, ring: KeyRing, metrics: Metrics, *, header: str | None = None) -> None:
        self._ring = ring
        self._metrics = metrics
        self._headers = tuple(name for name in (header, "x-api-key", "api-key") if name is not None)

    def __call__(self, context: RequestContext) -> None:
        """Set ``context.identity`` and ``credential_header``.

        Raises ``Unauthorized`` without a known key, and ``PermissionDenied`` when the key is not for this listener.
        """
        if context.path in OPEN_PATHS:
            return
        grant = self._find(context)
        if grant is None:
            self._metrics.access_refused("invalid_api_key")
            context.response_headers["WWW-Authenticate"] = _CHALLENGE
            raise Unauthorized("A valid API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
        context.identity = grant.identity
        try:
            grant.check_listener(context.listener)
        except PermissionDenied:
            self._metrics.access_refused("listener_not_allowed")
            raise

    def _find(self, context: RequestContext) -> Grant | None:
        headers = context.headers
        for name in self._headers:
            key = headers.get(name)
            if key is not None and (grant := self._ring.find(key)) is not None:
                context.credential_header = name
                return grant
        given = headers.get("Authorization")
        if given is None or given[: len(_BEARER)].lower() != _BEARER:
            return None
        grant = self._ring.find(given[len(_BEARER) :].strip())
        context.credential_header = "Authorization" if grant is not None else None
        return grant
