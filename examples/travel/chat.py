"""What both agents share: an OpenAI chat completion server around one function from a conversation to an answer.

An agent is ``respond(Conversation) -> str``. When another agent has already worked on this turn, its findings come
first in the answer, so that the user sees one complete answer whoever speaks last.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an agent needs of the messages."""

    user_turns: tuple[str, ...]
    """What the user said, newest last, never empty."""
    findings: tuple[str, ...]
    """What other agents found out for the newest turn, in the order in which they ran."""

    @property
    def newest(self) -> str:
        return self.user_turns[-1]


Respond = Callable[[Conversation], str]


class BadRequest(Exception):
    """The request is not a chat completion request; ``param`` names the field that is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def run(name: str, respond: Respond, default_port: int) -> None:
    """Serve an agent until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=f"{name}: an agent that speaks the OpenAI chat completion format")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=default_port)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    print(f"{name} on http://{arguments.host}:{arguments.port}", flush=True)
    web.run_app(
        build_app(name, respond),
        host=arguments.host,
        port=arguments.port,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=5,
        print=None,
    )


def build_app(name: str, respond: Respond) -> web.Application:
    """The agent as an aiohttp application."""

    async def complete(request: web.Request) -> web.StreamResponse:
        body = _parse_body(await request.read())
        conversation = read_conversation(body.get("messages"), name)
        stream = body.get("stream") or False
        if not isinstance(stream, bool):
            raise BadRequest("'stream' must be true or false.", "stream")
        text = "\n\n".join([*conversation.findings, respond(conversation)])
        model = body.get("model")
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model if isinstance(model, str) and model else name,
        }
        usage = _usage(conversation, text)
        if stream:
            options = body.get("stream_options")
            wants_usage = isinstance(options, dict) and options.get("include_usage") is True
            return await _stream(request, head, text, usage if wants_usage else None)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "agent": name})

    app = web.Application(middlewares=[_errors], client_max_size=16 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/healthz", healthz)
    return app


def read_conversation(messages: object, agent: str) -> Conversation:
    """Reads the messages of a request.

    Findings are the named assistant messages directly before the newest user message: the gateway puts the answers of
    agents that ran earlier in this turn there. One that another finding already contains is left out.
    """
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("'messages' must be a list of messages.", "messages")
    users = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    if not users:
        raise BadRequest("'messages' has no user message.", "messages")
    findings: list[str] = []
    for message in reversed(messages[: users[-1]]):
        if message.get("role") != "assistant" or not message.get("name"):
            break
        text = _text(message).strip()
        if text and message["name"] != agent and not any(text in later for later in findings):
            findings.append(text)
    return Conversation(tuple(_text(messages[i]) for i in users), tuple(reversed(findings)))


def _text(message: Mapping[str, Any]) -> str:
    """The text of a message: a string, or the text parts of a list."""
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") for part in content if part.get("type") == "text"]
        return "\n".join(text for text in texts if isinstance(text, str))
    raise BadRequest("A message's 'content' must be a string or a list of parts.", "messages")


def _parse_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


async def _stream(
    request: web.Request, head: Mapping[str, Any], text: str, usage: Mapping[str, int] | None
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    for delta, reason in _deltas(text):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        await response.write(_event({**head, "object": "chat.completion.chunk", "choices": [choice]}))
    if usage is not None:
        await response.write(_event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _deltas(text: str) -> Iterator[tuple[dict[str, str], str | None]]:
    """The role, the text word by word, the end."""
    yield {"role": "assistant", "content": ""}, None
    for word in re.findall(r"\s*\S+", text):
        yield {"content": word}, None
    yield {}, "stop"


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def _usage(conversation: Conversation, text: str) -> dict[str, int]:
    """Words instead of tokens: these agents have no tokenizer."""
    prompt = sum(len(part.split()) for part in (*conversation.user_turns, *conversation.findings))
    completion = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure in the OpenAI error shape."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _error(400, str(error), error.param)
    except web.HTTPException as error:
        return _error(error.status, error.reason)
    except ConnectionError:
        raise  # the client has gone
    except Exception:
        logger.exception("an answer failed")
        return _error(500, "The agent failed.")


def _error(status: int, message: str, param: str | None = None) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return web.json_response({"error": {"message": message, "type": kind, "param": param, "code": None}}, status=status)
