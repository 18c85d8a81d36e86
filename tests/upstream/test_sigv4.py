"""Signatures: AWS's own test vectors, and botocore's signer on anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from router.upstream.sigv4 import AwsCredentials, Signer

# The published test suite: https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html
KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
    "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9"
    "q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=timezone.utc)
HOST = {"host": "example.amazonaws.com"}
FORM = {"content-type": "application/x-www-form-urlencoded", **HOST}


def signer(token: str | None = None, *, moment: datetime = MOMENT, service: str = "service") -> Signer:
    return Signer(AwsCredentials(KEY, SECRET, token), "us-east-1", service, clock=lambda: moment)


@pytest.mark.parametrize(
    ("headers", "body", "token", "names", "signature"),
    [
        (HOST, b"", None, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            HOST,
            b"",
            TOKEN,
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
        (
            FORM,
            b"Param1=value1",
            None,
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["post-vanilla", "post-sts-header-before", "post-x-www-form-urlencoded"],
)
def test_the_published_vectors(
    headers: Mapping[str, str], body: bytes, token: str | None, names: str, signature: str
) -> None:
    added = signer(token).sign("/", headers, body)
    assert added["x-amz-date"] == "20150830T123600Z"
    assert added.get("x-amz-security-token") == token
    assert added["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def _by_botocore(
    credentials: AwsCredentials, region: str, path: str, headers: Mapping[str, str], body: bytes, moment: datetime
) -> dict[str, str]:
    request = AWSRequest("POST", f"https://{headers['host']}{path}", headers=dict(headers), data=body)
    given_to = Credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    auth = botocore.auth.SigV4Auth(given_to, "bedrock", region)
    request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if credentials.session_token:
        request.headers["X-Amz-Security-Token"] = credentials.session_token
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    scope = auth.scope(request)
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"}


_WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
_MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001


@given(
    st.builds(AwsCredentials, _WORD, _WORD, st.none() | _WORD),
    st.sampled_from(["us-east-1", "eu-central-2"]),
    st.text(max_size=30),
    st.binary(max_size=60),
    _MOMENTS,
)
def test_botocore_signs_the_same(
    credentials: AwsCredentials, region: str, model: str, body: bytes, moment: datetime
) -> None:
    headers = {"host": f"bedrock-runtime.{region}.amazonaws.com", "content-type": "application/json"}
    path = f"/model/x{quote(model, safe='', errors='replace')}/converse"
    own = Signer(credentials, region, "bedrock", clock=lambda: moment).sign(path, headers, body)
    assert own["authorization"] == _by_botocore(credentials, region, path, headers, body, moment)["authorization"]


def test_the_key_of_a_day_is_not_that_of_the_next() -> None:
    moments = [MOMENT, MOMENT + timedelta(hours=11), MOMENT + timedelta(hours=12)]
    turning = Signer(AwsCredentials(KEY, SECRET), "us-east-1", "service", clock=lambda: moments[0])
    for moment in list(moments):
        assert turning.sign("/", HOST, b"") == signer(moment=moment).sign("/", HOST, b"")
        moments.pop(0)


def test_another_time_zone_makes_no_difference() -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=14)))
    assert signer(moment=elsewhere).sign("/", HOST, b"") == signer().sign("/", HOST, b"")


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(AwsCredentials(KEY, SECRET, TOKEN))
    assert TOKEN not in repr(AwsCredentials(KEY, SECRET, TOKEN))
