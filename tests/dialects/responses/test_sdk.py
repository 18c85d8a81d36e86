"""The official client, whose requests and answers do not leave the process."""

from __future__ import annotations

import httpx2
import openai
import pytest
from pydantic import BaseModel

from router.dialects import openai_chat, openai_responses
from router.dialects.canonical import ChatRequest, JsonObject, Usage, chunks_of, completion
from router.errors import InvalidRequest, UpstreamTimeout

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Gateway:
    """Answers the client's requests one after the other; ``seen`` is what a chat completion server would have got."""

    def __init__(self, *answers: JsonObject, breaks: bool = False) -> None:
        self.seen: list[ChatRequest] = []
        self._answers = list(answers)
        self._breaks = breaks

    def __call__(self, http_request: httpx2.Request) -> httpx2.Response:
        try:
            request = openai_responses.decode_request(http_request.read())
        except InvalidRequest as exc:
            return httpx2.Response(exc.status, content=openai_responses.encode_error(exc, "req_1"))
        self.seen.append(openai_chat.decode_request(openai_chat.encode_request(request)))
        answer = self._answers.pop(0)
        if not request.stream:
            return httpx2.Response(200, content=openai_responses.encode_completion(answer, request))
        encoder = openai_responses.stream_encoder(request)
        events = [encoder.feed(chunk) for chunk in chunks_of(answer)]
        error = openai_responses.encode_stream_error(UpstreamTimeout("Too slow."), "req_1")
        events.append(error if self._breaks else encoder.finish())
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(events))

    def client(self) -> openai.OpenAI:
        transport = httpx2.MockTransport(self)
        return openai.OpenAI(
            api_key="key", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport), max_retries=0
        )


def said(text: str) -> JsonObject:
    return completion({"content": text}, model="m", usage=Usage(3, 2))


def test_a_turn_of_tools() -> None:
    thinking = {"reasoning_content": "I ask.", "tool_calls": [CALL]}
    gateway = Gateway(completion(thinking, model="m", finish_reason="tool_calls"), said("Sunny."))
    with gateway.client() as client:
        first = client.responses.create(model="m", input="Weather?", tools=[TOOL], instructions="Be brief.")
        result = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
        history = [{"role": "user", "content": "Weather?"}, *first.output, result]
        second = client.responses.create(model="m", input=history, tools=[TOOL])
    assert second.output_text == "Sunny."
    assert second.usage is not None
    assert second.usage.total_tokens == 5
    assert gateway.seen[0].messages[0] == {"role": "system", "content": "Be brief."}
    assert gateway.seen[1].messages == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]


def test_a_streamed_turn_of_tools() -> None:
    gateway = Gateway(completion({"content": "Hm.", "tool_calls": [CALL]}, model="m", finish_reason="tool_calls"))
    with gateway.client() as client, client.responses.stream(model="m", input="Weather?", tools=[TOOL]) as stream:
        types = [event.type for event in stream]
        response = stream.get_final_response()
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert [item.type for item in response.output] == ["message", "function_call"]
    assert gateway.seen[0].wants_usage


class Answer(BaseModel):
    city: str


def test_an_answer_in_a_given_format() -> None:
    gateway = Gateway(said('{"city":"Oslo"}'), said('{"city":"Bergen"}'))
    with gateway.client() as client:
        parsed = client.responses.parse(model="m", input="Where?", text_format=Answer)
        with client.responses.stream(model="m", input="Where?", text_format=Answer) as stream:
            streamed = stream.get_final_response()
    assert (parsed.output_parsed, streamed.output_parsed) == (Answer(city="Oslo"), Answer(city="Bergen"))
    wanted = gateway.seen[0].payload["response_format"]
    assert (wanted["type"], wanted["json_schema"]["strict"]) == ("json_schema", True)


def test_a_stream_that_breaks() -> None:
    with Gateway(said("Hel"), breaks=True).client() as client:
        events = list(client.responses.create(model="m", input="Hi", stream=True))
    assert events[-1].type == "error"
    assert events[-1].message == "Too slow."


def test_a_bad_request() -> None:
    with Gateway().client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input=[])
    assert caught.value.param == "input"
