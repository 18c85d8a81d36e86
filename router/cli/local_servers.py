"""Model servers on this machine, asked only when the command line says so: Ollama and vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import click
import orjson
from yarl import URL

from router.config.key_variables import is_loopback
from router.errors import OperatorError, UpstreamError
from router.upstream.fetch import Fetcher
from router.upstream.http import HttpClient

ANSWER_WITHIN_S = 3.0
_MAX_BYTES = 4 * 1024 * 1024
_START = {"ollama": "ollama serve", "vllm": "vllm serve MODEL"}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answers at ``url``, and the models that it lists."""

    provider: str
    url: str
    models: tuple[str, ...]


async def find_local(wanted: Mapping[str, str]) -> tuple[LocalServer, ...]:
    """The servers at the URLs that ``wanted`` has for ``ollama`` and ``vllm``, in that order.

    Raises ``OperatorError`` for one that does not answer, and for an address that is not this machine's.
    """
    urls = {provider: _loopback(provider, url) for provider, url in wanted.items()}
    client = HttpClient(connect_timeout_s=ANSWER_WITHIN_S)
    fetcher = Fetcher(client, max_bytes=_MAX_BYTES, timeout_s=ANSWER_WITHIN_S)
    try:
        found = await asyncio.gather(*(_ask(fetcher, provider, url) for provider, url in urls.items()))
    finally:
        await client.close()
    return tuple(found)


async def _ask(fetcher: Fetcher, provider: str, url: URL) -> LocalServer:
    shown = str(url).rstrip("/")
    try:
        answer = await fetcher.fetch(fetcher.endpoint(provider, url / "v1" / "models"))
        listed = orjson.loads(answer)["data"] or ()  # Ollama without models says null
        models = tuple(str(each["id"]) for each in listed)
    except UpstreamError as exc:
        fix = f"Start it with `{_START[provider]}`, say where it is with `--{provider} URL`, or leave the option out."
        raise OperatorError(f"There is no {provider} at {shown}: {exc.message}", fix=fix) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise OperatorError(
            f"What answers at {shown} is not {provider}.", fix=f"Say where it is with `--{provider} URL`."
        ) from exc
    return LocalServer(provider, shown, models)


def _loopback(provider: str, text: str) -> URL:
    hint = f"--{provider}"
    try:
        url = URL(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a URL.", param_hint=hint) from exc
    if url.scheme != "http" or not url.host or url.user is not None:
        raise click.BadParameter(f"{text!r} is not a URL as in http://127.0.0.1:11434.", param_hint=hint)
    if not is_loopback(url.host):
        raise click.BadParameter(
            f"{url.host} is not this machine; write a configuration for servers elsewhere.", param_hint=hint
        )
    return url
