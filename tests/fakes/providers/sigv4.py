"""Whether a request carries a good AWS signature of version 4.

Reference: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import reduce
from urllib.parse import quote, urlsplit

from tests.fakes.http_exchange import RecordedRequest

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_MUST_BE_SIGNED = {"host", "x-amz-date"}


@dataclass(frozen=True)
class Credentials:
    """An access key; with a session token the request has to carry it, signed."""

    access_key: str
    secret_key: str
    region: str
    session_token: str | None = None


def signed_by(credentials: Credentials, request: RecordedRequest, service: str) -> bool:
    """Whether the signature is that of ``credentials`` over this very request."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None or (found["key"], found["region"]) != (credentials.access_key, credentials.region):
        return False
    signed = found["headers"].split(";")
    required = _MUST_BE_SIGNED | ({"x-amz-security-token"} if credentials.session_token else set())
    token = request.headers.get("x-amz-security-token")
    if found["service"] != service or not required <= set(signed) or token != credentials.session_token:
        return False
    date = request.headers["x-amz-date"]
    scope = f"{found['day']}/{credentials.region}/{service}/aws4_request"
    canonical = hashlib.sha256(_canonical(request, signed).encode()).hexdigest()
    steps = [
        found["day"],
        credentials.region,
        service,
        "aws4_request",
        f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}",
    ]
    signature = reduce(_hmac, steps, f"AWS4{credentials.secret_key}".encode())
    return date.startswith(found["day"]) and hmac.compare_digest(signature.hex(), found["signature"])


def _canonical(request: RecordedRequest, signed: list[str]) -> str:
    url = urlsplit(request.path)
    # Every service but S3 signs the path as it went out, encoded once more.
    path = quote(url.path, safe="/-_.~")
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed]
    digest = hashlib.sha256(request.body).hexdigest()
    return "\n".join([request.method, path, url.query, *headers, "", ";".join(signed), digest])


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
