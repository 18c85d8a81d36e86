from __future__ import annotations

import pytest
from pydantic import SecretStr

from router.access.keys import Grant, KeyRing
from router.access.quotas import Quota
from router.config.access import ApiKey, Budget, KeyRateLimit
from router.context import Identity
from router.errors import PermissionDenied

KEY = "a-long-and-random-key-0123"


def api_key(name: str = "team", key: str = KEY, **changes: object) -> ApiKey:
    return ApiKey(name=name, key=SecretStr(key), **changes)  # type: ignore[arg-type]


def test_a_key_is_found_by_itself_alone() -> None:
    ring = KeyRing([Grant.of(api_key()), Grant.of(api_key("other", KEY + "!"))])
    grant = ring.find(KEY)
    assert grant is not None
    assert grant.identity == Identity("team")
    for wrong in ("", KEY[:-1], KEY.upper(), f" {KEY}", KEY + "\x00", "x" * 100_000, "\udc80" * 20):
        assert ring.find(wrong) is None


def test_nothing_that_could_be_printed_holds_the_key() -> None:
    grant = Grant.of(api_key())
    assert KEY not in repr(grant)
    assert grant.digest.hex() not in repr(grant)


def test_a_key_that_was_taken_away_is_not_known_any_longer() -> None:
    ring = KeyRing([Grant.of(api_key())])
    ring.replace([Grant.of(api_key("other", KEY + "!"))])
    assert ring.find(KEY) is None
    assert ring.grant(Identity("team")) is None
    assert ring.grant(Identity("other")) is not None
    assert ring.grant(None) is None


def test_a_key_is_for_its_listeners() -> None:
    Grant.of(api_key()).check_listener("any")
    grant = Grant.of(api_key(listeners=("front",)))
    grant.check_listener("front")
    with pytest.raises(PermissionDenied) as caught:
        grant.check_listener("back")
    assert (caught.value.status, caught.value.code) == (403, "listener_not_allowed")


def test_a_key_is_for_its_models() -> None:
    assert Grant.of(api_key()).may_use("openai/gpt-4o")
    grant = Grant.of(api_key(models=("openai/*", "smart")))
    assert grant.may_use("openai/gpt-4o")
    assert grant.may_use("anthropic/claude", "smart")
    assert not grant.may_use("anthropic/claude")


def test_limits_and_budgets_become_quotas() -> None:
    key = api_key(
        rate_limit=KeyRateLimit(requests=5, tokens=6, unit="hour", on_error="allow"),
        budget=Budget(tokens=7, usd=0.25, period="day", unpriced_usd_per_million=2),
    )
    assert Grant.of(key).quotas == (
        Quota("rate", "requests", 5, "hour", "allow"),
        Quota("rate", "tokens", 6, "hour", "allow"),
        Quota("budget", "tokens", 7, "day", "deny"),
        Quota("budget", "usd", 250_000_000, "day", "deny", 2.0),
    )
    assert Grant.of(api_key()).quotas == ()
