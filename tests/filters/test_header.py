from __future__ import annotations

from router.filters.base import Rejection
from router.filters.header import HeaderFilter, HeaderRules
from tests.filters.exchanges import context, request


async def test_headers_are_set_let_through_and_kept_back() -> None:
    asking, asked = context({"x-tenant": "acme", "baggage": "a=b"}), request()
    rules = HeaderRules(set={"X-Gateway": "trident"}, forward=("X-Tenant", "x-absent"), remove=("Baggage",))
    assert await HeaderFilter("h", rules).on_request(asked, asking) is asked
    assert asking.upstream_headers == {"x-tenant": "acme", "x-gateway": "trident", "baggage": None}


async def test_what_is_set_wins_over_what_the_client_sent() -> None:
    asking = context({"x-tenant": "acme"})
    await HeaderFilter("h", HeaderRules(set={"X-Tenant": "own"}, forward=("x-tenant",))).on_request(request(), asking)
    assert asking.upstream_headers == {"x-tenant": "own"}


async def test_a_request_without_a_required_header_is_rejected() -> None:
    filter_ = HeaderFilter("h", HeaderRules(require=("x-tenant",)))
    assert await filter_.on_request(request(), context()) == Rejection("The header 'x-tenant' is required.", 400)
    asked = request()
    assert await filter_.on_request(asked, context({"x-tenant": "acme"})) is asked


async def test_headers_are_copied_into_the_metadata() -> None:
    filter_ = HeaderFilter("h", HeaderRules(metadata={"tenant": "x-tenant", "user": "x-user"}))
    changed = await filter_.on_request(request(metadata={"tenant": "mine", "a": "b"}), context({"x-tenant": "acme"}))
    assert changed.payload["metadata"] == {"tenant": "acme", "a": "b"}  # type: ignore[union-attr]


async def test_the_gateways_own_key_is_for_the_gateway_alone() -> None:
    asking = context({"x-team-key": "s3cret"}, credential_header="X-Team-Key")
    rules = HeaderRules(forward=("x-team-key",), metadata={"k": "x-team-key"})
    asked = request()
    assert await HeaderFilter("h", rules).on_request(asked, asking) is asked
    assert asking.upstream_headers == {}
    assert await HeaderFilter("h", HeaderRules(require=("x-team-key",))).on_request(asked, asking) != asked


def test_values_that_may_be_credentials_are_not_shown() -> None:
    assert "s3cret" not in repr(HeaderRules(set={"authorization": "s3cret"}))


def test_answers_are_not_looked_at() -> None:
    assert HeaderFilter("h", HeaderRules()).answer_filter(request(), context()) is None
