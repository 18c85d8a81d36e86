"""AWS Signature Version 4 for POST requests, pure apart from the clock.

Reference: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Every service but
S3 encodes the path once more for the canonical request, and hashes the body without sending the hash.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """A key of an AWS account; temporary ones come with a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class Signer:
    """Signs requests to one service in one region. ``clock`` gives the time of a request, with its time zone."""

    def __init__(
        self, credentials: AwsCredentials, region: str, service: str, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._clock = clock or _now
        self._day = ""
        self._key = b""

    def sign(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers to add to ``POST path``: the date, the session token and the signature.

        ``path`` is percent-encoded, as it goes out, and has neither a query nor dot segments. ``headers`` are those to
        sign, in lower case, as they go out; ``host`` has to be among them, and ``content-type`` where it is sent.
        """
        now = self._clock().astimezone(timezone.utc)
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-date": moment}
        if self._credentials.session_token is not None:
            added["x-amz-security-token"] = self._credentials.session_token
        signed = {**headers, **added}
        names = sorted(signed)
        lines = [
            "POST",
            quote(path, safe="/"),
            "",
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
        signature = _hmac(self._signing_key(moment[:8]), to_sign).hex()
        added["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.access_key_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return added

    def _signing_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._credentials.secret_access_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _hmac(key, part)
            self._day, self._key = day, key
        return self._key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _now() -> datetime:
    return datetime.now(timezone.utc)
