"""Which headers authorise a request, and that no key goes where it does not belong."""

from __future__ import annotations

from typing import Any

import pytest

from router.context import Identity
from router.errors import InvalidRequest, Unauthorized
from router.upstream.providers import ProviderService
from tests.upstream.provider_calls import AZURE, BEDROCK, call, context, head, provider, request

TOKEN = "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        ("openai/gpt-4o", {}, {"authorization": "Bearer k"}),
        ("anthropic/claude", {}, {"x-api-key": "k"}),
        ("anthropic/claude", {"access_key": "sk-ant-oat01-x"}, {"authorization": "Bearer sk-ant-oat01-x"}),
        ("amazon_bedrock/x", BEDROCK, {"authorization": "Bearer k"}),
        ("azure_openai/x", AZURE, {"api-key": "k"}),
        ("azure_openai/x", {**AZURE, "access_key": TOKEN}, {"authorization": f"Bearer {TOKEN}"}),
        ("azure_openai/x", {**AZURE, "key_header": "authorization"}, {"authorization": "Bearer k"}),
        ("openai/gpt-4o", {"key_header": "x-api-key"}, {"x-api-key": "k"}),
        (
            "vllm/x",
            {"base_url": "http://h", "dialects": ["anthropic_messages"]},
            {"x-api-key": "k", "authorization": "Bearer k"},
        ),
        ("openai/gpt-4o", {"access_key": " k\n"}, {"authorization": "Bearer k"}),
        ("openai/gpt-4o", {"access_key": ""}, {}),
    ],
)
def test_the_key_is_in_the_header_that_the_provider_wants(
    model: str, fields: dict[str, Any], sent: dict[str, str]
) -> None:
    got = head(call(provider(model, **{"access_key": "k", **fields})))
    assert {name: got[name] for name in ("authorization", "x-api-key", "api-key") if name in got} == sent


def test_headers_and_host_of_the_configuration() -> None:
    entry = provider("openai/x", headers={"X-Org": "blue"}, http_host="inner.example")
    fields = head(call(entry))
    assert (fields["x-org"], fields["host"]) == ("blue", "inner.example")
    assert call(entry).endpoint.origin.host == "api.openai.com"


@pytest.mark.parametrize("fields", [{"access_key": "a\nb"}, {"access_key": "a\0b"}])
def test_a_key_that_no_request_can_carry_is_refused_at_the_start(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="authorization"):
        ProviderService(provider("openai/x", **fields))


def test_nothing_shows_a_key() -> None:
    service = ProviderService(provider("openai/x", access_key="vErY-sEcReT"))
    made = service.call(service.dialects[0], request(), b"{}", context())
    assert "vErY-sEcReT" not in f"{service!r} {vars(service)!r} {made!r}"


def test_the_version_and_the_betas_of_anthropics_api() -> None:
    entry = provider("anthropic/claude", headers={"anthropic-beta": "ours"})
    client = {"anthropic-version": "2099-01-01", "anthropic-beta": "a,b"}
    theirs = context(client, dialect="anthropic_messages")
    own = head(call(entry, request(dialect="anthropic_messages"), theirs))
    assert (own["anthropic-version"], own["anthropic-beta"]) == ("2099-01-01", "ours,a,b")
    other = head(call(entry, request(), context(client)))
    assert (other["anthropic-version"], other["anthropic-beta"]) == ("2023-06-01", "ours")
    plain = head(call(provider("anthropic/claude"), request(dialect="anthropic_messages"), context()))
    assert plain["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in plain
    pinned = provider("anthropic/claude", headers={"Anthropic-Version": "2024-01-01"})
    assert head(call(pinned, request(dialect="anthropic_messages"), theirs))["anthropic-version"] == "2024-01-01"


def test_other_providers_get_no_headers_of_anthropics() -> None:
    client = {"anthropic-version": "2099-01-01", "anthropic-beta": "a"}
    assert not any("anthropic" in name for name in head(call(provider("openai/x"), request(), context(client))))


@pytest.mark.parametrize(
    ("model", "fields", "client", "sent"),
    [
        ("openai/x", {}, {"authorization": "Bearer c"}, {"authorization": "Bearer c"}),
        ("openai/x", {}, {"authorization": "bearer c"}, {"authorization": "Bearer c"}),
        ("openai/x", {}, {"x-api-key": "c"}, {"authorization": "Bearer c"}),
        ("openai/x", {}, {"api-key": "c"}, {"authorization": "Bearer c"}),
        ("openai/x", {}, {"authorization": "Basic YTpi"}, {"authorization": "Basic YTpi"}),
        ("openai/x", {}, {"authorization": "Bearer ", "x-api-key": "c"}, {"authorization": "Bearer c"}),
        ("anthropic/x", {}, {"authorization": "Bearer c"}, {"x-api-key": "c"}),
        ("anthropic/x", {}, {"x-api-key": "c"}, {"x-api-key": "c"}),
        ("anthropic/x", {}, {"authorization": "Bearer sk-ant-oat01-c"}, {"authorization": "Bearer sk-ant-oat01-c"}),
        ("azure_openai/x", AZURE, {"authorization": "Bearer c"}, {"api-key": "c"}),
        ("azure_openai/x", AZURE, {"authorization": f"Bearer {TOKEN}"}, {"authorization": f"Bearer {TOKEN}"}),
        ("amazon_bedrock/x", BEDROCK, {"x-api-key": "c"}, {"authorization": "Bearer c"}),
        ("openai/x", {"access_key": "ours"}, {"authorization": "Bearer c"}, {"authorization": "Bearer c"}),
        ("openai/x", {"headers": {"Authorization": "ours"}}, {"x-api-key": "c"}, {"authorization": "Bearer c"}),
        ("openai/x", {}, {"x-provider-authorization": "c", "authorization": "d"}, {"authorization": "Bearer c"}),
    ],
)
def test_the_clients_own_key_is_passed_on(
    model: str, fields: dict[str, Any], client: dict[str, str], sent: dict[str, str]
) -> None:
    got = head(call(provider(model, passthrough_auth=True, **fields), request(), context(client)))
    assert {name: got[name] for name in ("authorization", "x-api-key", "api-key") if name in got} == sent
    assert "x-provider-authorization" not in got


ME = Identity("me")


@pytest.mark.parametrize(
    ("client", "header", "sent"),
    [
        ({"authorization": "Bearer ours", "x-provider-authorization": "Bearer c"}, "Authorization", "Bearer c"),
        ({"authorization": "Bearer ours", "x-api-key": "c"}, "Authorization", "Bearer c"),
        ({"authorization": "Bearer c", "x-api-key": "ours"}, "x-api-key", "Bearer c"),
        ({"authorization": "Bearer c", "x-team-key": "ours"}, "x-team-key", "Bearer c"),
        ({"authorization": "Bearer ours"}, "Authorization", None),
        ({"authorization": "Bearer ours", "x-api-key": "ours"}, "x-api-key", None),
        ({"authorization": "Bearer ours", "api-key": "ours"}, "Authorization", None),
        ({"authorization": "Bearer  ours", "x-provider-authorization": "ours"}, "Authorization", None),
        ({"authorization": "Bearer ours", "x-api-key": "other, ours"}, "Authorization", None),  # it came twice
        ({"authorization": "Bearer c", "x-api-key": "c2"}, None, None),
        ({"x-provider-authorization": "c", "x-api-key": "c2"}, None, "Bearer c"),
    ],
)
def test_the_key_of_the_gateway_itself_never_leaves_it(
    client: dict[str, str], header: str | None, sent: str | None
) -> None:
    about = context(client, identity=ME, credential_header=header)
    entry = provider("openai/x", passthrough_auth=True)
    if sent is not None:
        assert head(call(entry, request(), about))["authorization"] == sent
        return
    with pytest.raises(Unauthorized, match="x-provider-authorization") as caught:
        call(entry, request(), about)
    assert caught.value.status == 401


def test_a_client_without_a_key_is_told_so() -> None:
    with pytest.raises(Unauthorized, match="'openai/x' is asked with the client's own key"):
        call(provider("openai/x", passthrough_auth=True))


def test_a_key_of_a_client_cannot_add_headers() -> None:
    made = call(provider("openai/x", passthrough_auth=True), request(), context({"authorization": "Bearer a\r\nx: y"}))
    with pytest.raises(InvalidRequest):
        head(made)
