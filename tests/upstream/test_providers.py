"""Where each provider is called: heads as they go out, and real exchanges with strict fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config import ModelProvider
from router.dialects import anthropic_messages, openai_chat
from router.dialects.canonical import ChatRequest, DialectName
from router.errors import InvalidRequest, UpstreamStatus
from router.upstream.chat import ChatUpstream
from router.upstream.http import HttpClient
from router.upstream.providers import ProviderService
from tests.fakes.providers.answers import Answer, BrokenOff, Failure, Text, Thinking, Tokens, ToolCall, says
from tests.fakes.providers.chat_completions import AzureOpenAiApi, ChatCompletionsApi
from tests.fakes.providers.converse import ConverseApi
from tests.fakes.providers.messages import MessagesApi
from tests.fakes.providers.server import FakeProvider
from tests.fakes.providers.sigv4 import Credentials
from tests.upstream.provider_calls import AZURE, BEDROCK, PAYLOAD, call, context, head, provider, request

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"

URLS = [
    ("openai/gpt-4o", {}, None, "https://api.openai.com/v1/chat/completions"),
    ("openai/gpt-4o", {}, "openai_responses", "https://api.openai.com/v1/responses"),
    ("anthropic/claude", {}, None, "https://api.anthropic.com/v1/messages"),
    ("gemini/flash", {}, None, "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
    ("vllm/llama", {"base_url": "http://h:8000"}, None, "http://h:8000/v1/chat/completions"),
    ("x/gpt", {"base_url": "http://h/v1", "provider_interface": "openai_responses"}, None, "http://h/v1/responses"),
    ("x/llama", {"base_url": "http://h/ä/v2", "provider_interface": "openai"}, None, "http://h/%C3%A4/v2/chat/completions"),
    ("amazon_bedrock/a.b-v1:0", {"region": "r"}, None, "https://bedrock-runtime.r.amazonaws.com/model/a.b-v1%3A0/converse"),
    ("amazon_bedrock/x", {"base_url": "http://proxy/aws"}, None, "http://proxy/aws/model/x/converse"),
    ("azure_openai/gpt", {"base_url": "https://me.openai.azure.com/openai/v1"}, None,
     "https://me.openai.azure.com/openai/v1/chat/completions"),
    ("azure_openai/gpt", {"base_url": "https://me.openai.azure.com/openai/v1"}, "openai_responses",
     "https://me.openai.azure.com/openai/v1/responses"),
    ("azure_openai/my gpt", {"base_url": "https://me.openai.azure.com", "api_version": "2024-10-21"}, None,
     "https://me.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"),
    ("azure_openai/gpt", {"base_url": "https://me.openai.azure.com/openai", "api_version": "v"}, None,
     "https://me.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=v"),
    ("azure_openai/gpt", {"base_url": "https://me/openai/deployments/prod", "api_version": "v"}, None,
     "https://me/openai/deployments/prod/chat/completions?api-version=v"),
    ("azure_openai/gpt", {"base_url": "https://me", "api_version": "v", "dialects": ["openai_responses"]}, None,
     "https://me/openai/responses?api-version=v"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "dialect", "url"), URLS)
def test_where_a_provider_is_called(model: str, fields: dict[str, Any], dialect: DialectName | None, url: str) -> None:
    assert str(call(provider(model, **fields), dialect=dialect).endpoint.url) == url


def test_the_model_of_an_entry_is_the_one_that_is_asked_for() -> None:
    entry = provider("amazon_bedrock/x", region="r")
    assert head(call(entry, request("something/else")))[""] == "/model/x/converse"


def test_a_stream_has_another_path_at_bedrock_and_says_what_it_takes() -> None:
    entry = provider("amazon_bedrock/x", region="r")
    whole, streamed = head(call(entry)), head(call(entry, request(stream=True)))
    assert (whole[""], whole["accept"]) == ("/model/x/converse", "application/json")
    assert (streamed[""], streamed["accept"]) == ("/model/x/converse-stream", "application/vnd.amazon.eventstream")


def test_endpoints_are_made_once() -> None:
    service = ProviderService(provider("amazon_bedrock/*", region="r"))
    calls = [service.call(service.dialects[0], request(model), b"{}", context()) for model in ("a", "b", "a")]
    assert calls[0].endpoint is calls[2].endpoint
    assert calls[0].endpoint is not calls[1].endpoint


def test_names_of_clients_do_not_fill_the_memory() -> None:
    service = ProviderService(provider("amazon_bedrock/*", region="r"))
    first = service.call(service.dialects[0], request("m"), b"{}", context()).endpoint
    for number in range(200):
        service.call(service.dialects[0], request(f"m{number}"), b"{}", context())
    assert service.call(service.dialects[0], request("m"), b"{}", context()).endpoint is not first


HOSTILE = ["../../admin", "a/b", "a?x=1", "a#b", "a\r\nx: y", "a b", "%2e%2e", "@evil.example/", "//evil", "...", "é☀"]


@pytest.mark.parametrize("model", HOSTILE)
@pytest.mark.parametrize("entry", [
    provider("amazon_bedrock/*", base_url="https://h:8443/p"),
    provider("azure_openai/*", base_url="https://h:8443/p", api_version="v"),
])  # fmt: skip
def test_a_model_is_one_segment_of_a_path_whatever_its_name(entry: ModelProvider, model: str) -> None:
    _stays_in_its_place(entry, model)


@given(st.text(min_size=1, max_size=30).filter(lambda model: model not in (".", "..")))
def test_any_model_is_one_segment_of_a_path(model: str) -> None:
    _stays_in_its_place(provider("amazon_bedrock/*", base_url="https://h:8443/p"), model)


def _stays_in_its_place(entry: ModelProvider, model: str) -> None:
    made = call(entry, request(model))
    fields = head(made)
    path, _, query = fields[""].partition("?")
    segments = path.split("/")
    position = -2 if segments[-1] == "converse" else -3
    assert unquote(segments[position], errors="strict") == model
    assert segments[:2] == ["", "p"]
    assert (fields["host"], made.endpoint.origin[:3]) == ("h:8443", ("https", "h", 8443))
    assert query in ("", "api-version=v")
    assert len(segments) == len(head(call(entry, request("plain")))[""].split("/"))


@pytest.mark.parametrize("model", ["", ".", "..", "x" * 3000, "\ud800"])
def test_a_model_that_is_no_segment_is_refused(model: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(provider("amazon_bedrock/*", region="r"), request(model))
    assert caught.value.param == "model"


def test_other_apis_of_openai() -> None:
    def path(entry: ModelProvider, model: str = "m") -> str | None:
        made = ProviderService(entry).json_call("/embeddings", model, b"{}", context())
        return None if made is None else str(made.endpoint.url)

    assert path(provider("openai/x")) == "https://api.openai.com/v1/embeddings"
    deployment = "https://me.openai.azure.com/openai/deployments/m/embeddings?api-version=v"
    assert path(provider("azure_openai/*", api_version="v", **AZURE)) == deployment
    assert path(provider("anthropic/x")) is None
    assert path(provider("amazon_bedrock/x", **BEDROCK)) is None


FULL = Answer(
    (Thinking("Hm."), Text("21 °C"), ToolCall("call_1", "weather", '{"city":"Zürich"}')),
    tokens=Tokens(100, 40, 30, 20),
)


@asynccontextmanager
async def upstream(entry: ModelProvider) -> AsyncIterator[ChatUpstream]:
    client = HttpClient(connect_timeout_s=2)
    try:
        yield ChatUpstream(ProviderService(entry), client, max_response_bytes=100_000)
    finally:
        await client.close()


async def streamed(asked: ChatUpstream, wanted: ChatRequest) -> bytes:
    async with aclosing(asked.stream(wanted, context())) as events:
        return b"".join([data async for data in events])


SIGNING = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "eu-central-1", "session/token==")
SIGNED = {
    "region": SIGNING.region,
    "aws_access_key_id": SIGNING.access_key,
    "aws_secret_access_key": SIGNING.secret_key,
    "aws_session_token": SIGNING.session_token,
}


@pytest.mark.parametrize("fields", [{"access_key": "k"}, SIGNED, {**SIGNED, "http_host": "bedrock.internal"}])
@pytest.mark.parametrize("cut", [None, 1])
async def test_bedrock_with_either_kind_of_credentials(fields: dict[str, Any], cut: int | None) -> None:
    async with FakeProvider(ConverseApi("k", credentials=SIGNING), FULL) as fake:
        fake.cut = cut
        entry = provider(f"amazon_bedrock/{CLAUDE}", base_url=fake.url, **fields)
        async with upstream(entry) as asked:
            about = context()
            whole = orjson.loads(await asked.complete(request(CLAUDE), about))
            stream = await streamed(asked, request(CLAUDE, stream=True))
        assert fake.refused == []
    assert whole["choices"][0]["message"]["content"] == "21 °C"
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert about.usage is not None
    assert (about.usage.input, about.usage.cached, about.usage.cache_write) == (100, 30, 20)
    assert b'"arguments"' in stream
    assert stream.endswith(b"data: [DONE]\n\n")


async def test_bedrock_refuses_what_is_signed_for_another_region() -> None:
    async with FakeProvider(ConverseApi("k", credentials=SIGNING), says("Hi")) as fake:
        entry = provider("amazon_bedrock/x", base_url=fake.url, **{**SIGNED, "region": "us-east-1"})
        async with upstream(entry) as asked:
            with pytest.raises(UpstreamStatus, match="security token") as caught:
                await asked.complete(request(), context())
    assert caught.value.status == 403


async def test_an_anthropic_client_and_a_model_at_bedrock() -> None:
    payload = {**PAYLOAD, "model": CLAUDE, "max_tokens": 100}
    async with FakeProvider(ConverseApi("k"), FULL) as fake:
        async with upstream(provider(f"amazon_bedrock/{CLAUDE}", base_url=fake.url, access_key="k")) as asked:
            message = orjson.loads(
                await asked.complete(anthropic_messages.decode_request(orjson.dumps(payload)), context())
            )
            body = orjson.dumps({**payload, "stream": True})
            events = await streamed(asked, anthropic_messages.decode_request(body))
        assert fake.refused == []
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    assert message["stop_reason"] == "tool_use"
    assert (message["usage"]["input_tokens"], message["usage"]["cache_read_input_tokens"]) == (50, 30)
    assert events.count(b"event: content_block_start") == 3
    assert b"signature_delta" in events


async def test_errors_of_bedrock() -> None:
    async with (
        FakeProvider(ConverseApi("k"), Failure(429, "Slow down.", retry_after="3")) as fake,
        upstream(provider("amazon_bedrock/x", base_url=fake.url, access_key="k")) as asked,
    ):
        with pytest.raises(UpstreamStatus, match="Slow down") as refused:
            await asked.complete(request(), context())
        fake.play(BrokenOff(says("Hello there"), 2, "Too many tokens."))
        with pytest.raises(UpstreamStatus, match="Too many tokens") as broken:
            await streamed(asked, request(stream=True))
    assert (refused.value.status, refused.value.retry_after_s, refused.value.retryable) == (429, 3.0, True)
    assert (broken.value.status, broken.value.type) == (429, "ThrottlingException")


async def test_anthropic() -> None:
    async with FakeProvider(MessagesApi("k"), says("Hi")) as fake:
        async with upstream(provider("anthropic/claude", base_url=fake.url, access_key="k")) as asked:
            whole = orjson.loads(await asked.complete(request(), context()))
        assert fake.refused == []
    assert whole["choices"][0]["message"]["content"] == "Hi"


async def test_openai_gets_what_the_client_wrote() -> None:
    body = orjson.dumps({"model": "gpt-4o", **PAYLOAD})
    async with FakeProvider(ChatCompletionsApi("k"), says("Hi")) as fake:
        async with upstream(provider("openai/gpt-4o", base_url=fake.url, access_key="k")) as asked:
            await asked.complete(openai_chat.decode_request(body), context())
        assert fake.refused == []
        assert fake.last.body == body


async def test_azure() -> None:
    async with FakeProvider(AzureOpenAiApi("k", api_version="2024-10-21", deployment="gpt"), says("Hi")) as fake:
        entry = provider("azure_openai/gpt", base_url=fake.url, access_key="k", api_version="2024-10-21")
        async with upstream(entry) as asked:
            whole = orjson.loads(await asked.complete(request(), context()))
        assert fake.refused == []
    assert whole["choices"][0]["message"]["content"] == "Hi"
