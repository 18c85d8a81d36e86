"""Requests to Bedrock without an API key carry a signature that Bedrock would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config import load_config
from router.runtime import Runtime, Surroundings
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics
from tests.fakes.providers.answers import says
from tests.fakes.providers.converse import ConverseApi
from tests.fakes.providers.server import FakeProvider
from tests.fakes.providers.sigv4 import Credentials
from tests.integration.conversation import Ask, User
from tests.integration.dialect_gateway import free_ports
from tests.integration.openai_clients import ChatClient

CONFIG = """
version: v0.4.0
model_providers:
  - model: amazon_bedrock/*
    base_url: "{url}"
    region: eu-central-1
    aws_access_key_id: AKIDEXAMPLE
    aws_secret_access_key: $SECRET
    {token}
listeners: [{{type: model, name: models, port: {port}}}]
triton: {{url: "127.0.0.1:1"}}
"""


@pytest.mark.parametrize("token", [None, "session/token=="])
async def test_requests_are_signed(tmp_path: Path, token: str | None) -> None:
    api = ConverseApi("none", credentials=Credentials("AKIDEXAMPLE", "secret/key+1", "eu-central-1", token))
    (port,) = free_ports(1)
    file = tmp_path / "config.yaml"
    async with FakeProvider(api, says("Grüße.")) as bedrock:
        token_line = "aws_session_token: $TOKEN" if token else ""
        file.write_text(CONFIG.format(url=bedrock.url, port=port, token=token_line))
        config = load_config(file, {"SECRET": "secret/key+1", "TOKEN": token or ""}).config
        metrics = RecordedMetrics().metrics
        runtime = Runtime(config, Surroundings("127.0.0.1:1", tmp_path), metrics=metrics, access_log=LoggedAccess())
        await runtime.start()
        client = ChatClient(f"http://127.0.0.1:{port}")
        try:
            for model in ("eu.anthropic.claude-3-7-sonnet-20250219-v1:0", "arn:aws:bedrock:eu-central-1:1:a/b c+d"):
                for stream in (False, True):
                    heard = await client.ask(f"amazon_bedrock/{model}", Ask([User("Grüße")]), stream=stream)
                    assert heard.text == "Grüße."
        finally:
            await client.close()
            await runtime.close()
    assert bedrock.refused == []
    assert len(bedrock.requests) == 4
