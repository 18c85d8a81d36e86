"""Asks one part of a deployment whether it is ready; for HEALTHCHECK in images that have no curl.

python healthcheck.py ADDRESS...

http://127.0.0.1:9901/readyz      ready: status 200
grpc://127.0.0.1:50051/SERVICE    ready: grpc.health.v1 says SERVING; no SERVICE: all of it

Exit status 0: all are ready. 1: not ready, or no answer; the reason is on standard error, which `docker inspect` shows.
"""

from __future__ import annotations

import http.client
import sys
from urllib.parse import SplitResult, urlsplit

WITHIN_S = 4.0
_SERVING = b"\x08\x01"  # HealthCheckResponse: field 1, a varint, SERVING
_MAX_REASON_BYTES = 500


def main(arguments: list[str]) -> int:
    """The exit status."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for argument in arguments:
        address = urlsplit(argument)
        reason = _ask_grpc(address) if address.scheme == "grpc" else _ask_http(address)
        if reason:
            print(f"{argument}: {reason}", file=sys.stderr)
            return 1
    return 0


def _ask_http(address: SplitResult) -> str:
    """Why it is not ready; empty where it is."""
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=WITHIN_S)
    try:
        connection.request("GET", address.path or "/")
        answer = connection.getresponse()
        return "" if answer.status == 200 else f"status {answer.status}: {answer.read(_MAX_REASON_BYTES)!r}"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error!r}"
    finally:
        connection.close()


def _ask_grpc(address: SplitResult) -> str:
    """Why it is not serving; empty where it is. The messages are two bytes long: no generated code is needed."""
    import grpc  # takes a third of a second, and the image of Triton has none

    service = address.path.strip("/").encode()
    request = b"\x0a" + bytes([len(service)]) + service if service else b""
    with grpc.insecure_channel(address.netloc) as channel:
        try:
            answer: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=WITHIN_S)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "" if answer == _SERVING else "not serving"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
