"""The environment as a client of the gateway has it, for programs that are started against one."""

from __future__ import annotations

import os
from collections.abc import Mapping

# The key of the gateway's own that `trident run` uses.
API_KEY_VARIABLE = "TRIDENT_API_KEY"

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def process_environment() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)


def without_proxy(variables: Mapping[str, str], host: str) -> dict[str, str]:
    """The variables that keep requests to ``host`` from a proxy, where ``variables`` name one; else none.

    An address of this machine means something else at the proxy.
    """
    if not any(variables.get(name) for name in _PROXIES):
        return {}
    exempt = [each.strip() for name in ("no_proxy", "NO_PROXY") for each in variables.get(name, "").split(",")]
    value = ",".join(dict.fromkeys(each for each in (*exempt, host, *_LOOPBACK) if each))
    return {"no_proxy": value, "NO_PROXY": value}
