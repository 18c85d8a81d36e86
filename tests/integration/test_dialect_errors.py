"""What goes wrong at a provider of any dialect is the right error class of every client's official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.fakes.providers.answers import BrokenOff, Failure, says
from tests.integration.conversation import Ask, User
from tests.integration.dialect_gateway import AGENTS, CLIENTS, SIDES, Gateway, dialect_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = Ask([User("Weather?")])
LONG = says("one two three four five six seven eight nine ten")
CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
    529: "InternalServerError",
}
# How the bodies of the two families say the same.
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}

every_client = pytest.mark.parametrize("client", CLIENTS)
every_provider = pytest.mark.parametrize("provider", SIDES)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with dialect_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@both
@pytest.mark.parametrize("status", CLASSES)
@every_provider
@every_client
async def test_a_status_is_the_sdks_error_class(
    gateway: Gateway, client: str, provider: str, status: int, stream: bool
) -> None:
    asking = gateway.clients[client]
    gateway.providers[provider].play(Failure(status, "The provider says no.", retry_after="7"))
    # What a provider says about the gateway's own key is not the client's to read.
    said = "refuses the credentials of the gateway" if status == 401 else "The provider says no"
    with pytest.raises(asking.errors.APIStatusError, match=said) as caught:
        # A model of its own each: a provider that said Retry-After is left alone with requests for that model.
        await asking.ask(f"{SIDES[provider].model}-{client}-{status}-{stream}".lower(), ASK, stream=stream)
    error = caught.value
    expected = getattr(asking.errors, CLASSES[status])
    assert isinstance(error, expected), type(error)
    assert (error.status_code, error.response.headers.get("retry-after")) == (status, "7")
    _check_body(error.response.json(), client, status)


@pytest.mark.parametrize(
    "client",
    [
        "chat",
        "messages",
        "responses",
    ],
)
async def test_the_request_id_is_where_the_sdk_looks_for_it(gateway: Gateway, client: str) -> None:
    asking = gateway.clients[client]
    gateway.providers["chat"].play(Failure(400, "No."))
    with pytest.raises(asking.errors.BadRequestError) as caught:
        await asking.ask(SIDES["chat"].model, ASK)
    assert caught.value.request_id == caught.value.response.headers["x-request-id"]


def _check_body(body: dict[str, Any], client: str, status: int) -> None:
    if client == "messages":
        assert body["type"] == "error"
        assert body["error"]["type"] == ANTHROPIC_TYPES[status]
    else:
        assert {"message", "type", "param", "code"} <= body["error"].keys()


@both
@pytest.mark.parametrize("agent", AGENTS)
@every_client
async def test_an_agents_status_is_the_sdks_error_class(
    gateway: Gateway, client: str, agent: str, stream: bool
) -> None:
    asking = gateway.agent_clients[client, agent]
    gateway.providers[agent].play(Failure(429, "The agent says no."))
    with pytest.raises(asking.errors.RateLimitError, match="The agent says no"):
        await asking.ask("any", ASK, stream=stream)


@pytest.mark.parametrize("told", [True, False], ids=["error_event", "reset"])
@every_provider
@every_client
async def test_a_stream_that_breaks_is_an_error(gateway: Gateway, client: str, provider: str, told: bool) -> None:
    asking: Any = gateway.clients[client]
    gateway.providers[provider].play(BrokenOff(LONG, events=6, message="Out of breath." if told else None))
    match = "Out of breath" if told else f"{SIDES[provider].model.partition('/')[0]}|broke"
    with pytest.raises(asking.errors.APIError, match=match):
        await asking.ask(SIDES[provider].model, ASK, stream=True)


@pytest.mark.parametrize("told", [True, False], ids=["error_event", "reset"])
@every_provider
@every_client
async def test_what_was_said_before_a_stream_broke_is_heard(
    gateway: Gateway, client: str, provider: str, told: bool
) -> None:
    gateway.providers[provider].play(BrokenOff(LONG, events=6, message="Out of breath." if told else None))
    heard = ""

    async def listen() -> None:
        nonlocal heard
        async for piece in _pieces(gateway, client, SIDES[provider].model):
            heard += piece

    with pytest.raises((openai.APIError, anthropic.APIError)):
        await listen()
    assert heard.startswith("one")


@every_provider
@every_client
async def test_a_refused_key_of_the_provider_stays_its_own_affair(gateway: Gateway, client: str, provider: str) -> None:
    side, asking = SIDES[provider], gateway.clients[client]
    fake = gateway.providers[provider]
    fake.play(says("Hello."))
    fake.api.key, known = "another-key", fake.api.key
    try:
        with pytest.raises(asking.errors.APIStatusError) as caught:
            await asking.ask(side.model, ASK)
    finally:
        fake.api.key = known
    assert caught.value.status_code in {401, 403}
    assert "provider-key" not in str(caught.value)


async def _pieces(gateway: Gateway, client: str, model: str) -> AsyncIterator[str]:
    sdk: Any = gateway.clients[client].sdk
    question: list[Any] = [{"role": "user", "content": "Count."}]
    if client == "chat":
        async for chunk in await sdk.chat.completions.create(model=model, messages=question, stream=True):
            yield chunk.choices[0].delta.content or ""
    elif client == "messages":
        async for event in await sdk.messages.create(model=model, max_tokens=99, messages=question, stream=True):
            if event.type == "content_block_delta":
                yield event.delta.text
    else:
        stream = await sdk.responses.create(model=model, input="Count.", stream=True)
        async for event in stream:
            if event.type == "error":
                raise openai.APIError(event.message, request=stream.response.request, body=None)
            if event.type == "response.output_text.delta":
                yield event.delta
