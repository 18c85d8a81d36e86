from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.config import load_config
from router.context import RequestContext
from router.errors import NotFound
from router.handlers.reply import JSON, Reply
from router.listeners.middleware import Resource
from router.listeners.paths import PathTable
from router.runtime.conversations import ConversationState
from router.state.opening import CONVERSATIONS_FILE_NAME
from tests.fakes.counters import RecordedMetrics

CONFIG = """
version: v0.4.0
model_providers: [{model: openai/gpt-4o, access_key: k}]
listeners: [{type: model, name: models, port: 12000}]
"""


async def _answer(context: RequestContext, body: bytes) -> Reply:
    return Reply(200, JSON, orjson.dumps({"id": "resp_theirs", "status": "completed", "output": []}))


PATHS = {
    "/v1/responses": Resource({"POST": _answer}, "openai_responses"),
    "/healthz": Resource({"GET": _answer}),
}


async def _state(folder: Path, storage: str = "", *, workers: int = 1) -> ConversationState:
    file = folder / "config.yaml"
    file.write_text(CONFIG + storage)
    config = load_config(file, {}).config
    metrics = RecordedMetrics().metrics
    return await ConversationState.open(config, state_dir=folder / "state", workers=workers, metrics=metrics)


async def _ask(paths: dict[str, Resource], method: str, path: str, body: Any = None, **headers: str) -> Any:
    match = PathTable(paths).find(path)
    assert match is not None
    context = RequestContext("r", "models", path, headers, time.monotonic() + 5, path_parameters=match.parameters)
    reply = await match.found.methods[method](context, orjson.dumps(body or {}))
    assert isinstance(reply.body, bytes)
    return orjson.loads(reply.body)


async def test_responses_outlive_the_gateway_in_a_file_of_the_instance(tmp_path: Path) -> None:
    first = await _state(tmp_path, workers=2)
    response = await _ask(first.around(PATHS), "POST", "/v1/responses", {"input": "Hi."})
    await first.close()
    assert (tmp_path / "state" / CONVERSATIONS_FILE_NAME).exists()
    second = await _state(tmp_path)
    paths = second.around(PATHS)
    assert await _ask(paths, "GET", f"/v1/responses/{response['id']}") == response
    assert paths["/healthz"] is PATHS["/healthz"]
    await second.close()


async def test_nothing_is_kept_where_the_operator_says_so(tmp_path: Path) -> None:
    state = await _state(tmp_path, "state_storage: {type: sqlite, store_responses: never}\n")
    assert state.around(PATHS) == PATHS
    await state.close()
    assert not (tmp_path / "state").exists()


async def test_listeners_without_responses_stay_as_they_are(tmp_path: Path) -> None:
    state = await _state(tmp_path, "state_storage: {type: memory}\n")
    health = {"/healthz": PATHS["/healthz"]}
    assert state.around(health) == health
    await state.close()


async def test_the_settings_are_those_of_the_file(tmp_path: Path) -> None:
    storage = "state_storage: {type: memory, store_responses: on_request}\n"
    state = await _state(tmp_path, storage + "routing: {session_cache: {tenant_header: X-Org}}\n")
    paths = state.around(PATHS)
    assert (await _ask(paths, "POST", "/v1/responses", {"input": "Hi."}))["id"] == "resp_theirs"
    body = {"input": "Hi.", "store": True}
    kept = await _ask(paths, "POST", "/v1/responses", body, **{"x-org": "a"})
    assert (await _ask(paths, "GET", f"/v1/responses/{kept['id']}", **{"x-org": "a"})) == kept
    with pytest.raises(NotFound):
        await _ask(paths, "GET", f"/v1/responses/{kept['id']}", **{"x-org": "b"})
    await state.close()
