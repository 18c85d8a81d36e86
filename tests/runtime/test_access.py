from __future__ import annotations

import time
from pathlib import Path

import pytest

from router.config import Config, load_config
from router.config.access import key_hash
from router.context import Identity, RequestContext
from router.dialects.canonical import Usage
from router.errors import InsufficientQuota, OperatorError, PermissionDenied, RateLimited, Unauthorized
from router.runtime.access import Access
from tests.fakes.counters import RecordedMetrics
from tests.fakes.prices import FakePrices

KEY = "a-long-and-random-key-0123"


def _config(tmp_path: Path, more: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: v0.4.0\nlisteners:\n  - {type: model, name: front, port: 1200}\n"
        "  - {type: model, name: open, port: 1201, unauthenticated: true}\n"
        "model_providers: [{model: openai/gpt-4o, name: main}]\nmodel_aliases: {fast: {target: main}}\n" + more
    )
    return load_config(path, {}).config


async def _open(config: Config, tmp_path: Path, workers: int = 1) -> Access:
    prices = FakePrices({"openai/gpt-4o": 0.001})
    metrics = RecordedMetrics().metrics
    return await Access.open(config, state_dir=tmp_path / "state", workers=workers, prices=prices, metrics=metrics)


def _request(listener: str = "front", name: str | None = None, **headers: str) -> RequestContext:
    identity = Identity(name) if name is not None else None
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return RequestContext("id", listener, "/v1/models", sent, time.monotonic() + 60, identity=identity)


async def test_without_keys_and_limits_nothing_is_made(tmp_path: Path) -> None:
    config = _config(tmp_path, "")
    access = await _open(config, tmp_path, workers=4)
    assert [access.authentication(listener) for listener in config.listeners] == [None, None]
    await access.control.admit(_request(), "openai/gpt-4o", 10**9)
    await access.close()
    assert not (tmp_path / "state").exists()


async def test_keys_of_the_configuration_and_the_file_open_the_listener(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: filed, hash: '{key_hash(KEY)}'}}]")
    auth = f"auth: {{file: keys.yaml, keys: [{{name: fixed, hash: '{key_hash(KEY * 2)}'}}]}}\n"
    config = _config(tmp_path, auth)
    access = await _open(config, tmp_path)
    front, unguarded = (access.authentication(listener) for listener in config.listeners)
    assert unguarded is None
    assert front is not None
    for key, name in ((KEY, "filed"), (KEY * 2, "fixed")):
        context = _request(x_api_key=key)
        front(context)
        assert context.identity == Identity(name)
    with pytest.raises(Unauthorized):
        front(_request(x_api_key=KEY * 3))
    await access.close()


async def test_a_rate_limit_may_name_an_alias(tmp_path: Path) -> None:
    limit = "{model: fast, selector: {key: x-user}, limit: {requests: 1, unit: day}}"
    access = await _open(_config(tmp_path, f"ratelimits: [{limit}]\n"), tmp_path)
    await access.control.admit(_request(x_user="ada"), "openai/gpt-4o", 1)
    with pytest.raises(RateLimited):
        await access.control.admit(_request(x_user="ada"), "openai/gpt-4o", 1)
    await access.close()
    assert not (tmp_path / "state").exists()


async def test_the_models_of_a_key_may_be_named_by_alias(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: filed, hash: '{key_hash(KEY)}', models: [fast]}}]")
    auth = f"auth: {{file: keys.yaml, keys: [{{name: fixed, hash: '{key_hash(KEY * 2)}', models: [fast]}}]}}\n"
    access = await _open(_config(tmp_path, auth), tmp_path)
    for name in ("filed", "fixed"):
        access.control.check_model(Identity(name), "openai/gpt-4o")
        with pytest.raises(PermissionDenied):
            access.control.check_model(Identity(name), "openai/gpt-4o-mini")
    await access.close()


async def test_a_budget_outlives_the_gateway(tmp_path: Path) -> None:
    auth = f"auth: {{keys: [{{name: team, hash: '{key_hash(KEY)}', budget: {{usd: 1}}}}]}}\n"
    config = _config(tmp_path, auth)
    access = await _open(config, tmp_path)
    context = _request(name="team")
    await access.control.admit(context, "openai/gpt-4o", 10)
    context.usage = Usage(500, 600)
    for finished in context.on_finished:
        finished(context)
    await access.close()
    again = await _open(config, tmp_path)
    with pytest.raises(InsufficientQuota):
        await again.control.admit(_request(name="team"), "openai/gpt-4o", 10)
    await again.close()


async def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: filed, hash: '{key_hash(KEY)}'}}]")
    config = _config(tmp_path, "auth: {file: keys.yaml}\n")
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(OperatorError, match="cannot be used"):
        await _open(config, tmp_path)
