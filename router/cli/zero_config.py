"""A model gateway without a configuration file: the one that the provider keys in the environment make."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from router import __version__
from router.cli.local_servers import LocalServer, find_local
from router.cli.status import Row, Section
from router.config.environment import read_environment
from router.config.key_variables import KEY_VARIABLES, FoundKey, ProviderKeys, find_keys
from router.config.known_providers import KNOWN_PROVIDERS
from router.errors import OperatorError

DEFAULT_PORT = 12000

# Of providers that keep a name for whatever is current, or that most people have a key of: for the example of a call.
_EXAMPLES = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "mistral": "mistral-small-latest",
    "deepseek": "deepseek-chat",
}


@dataclass(frozen=True, slots=True)
class ZeroOptions:
    """What the command line says about a gateway without a file. ``port`` is ``None`` where it says nothing."""

    port: int | None
    ollama: str | None
    vllm: str | None
    passthrough: bool

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were used."""
        named = {"--port": self.port, "--ollama": self.ollama, "--vllm": self.vllm, "--passthrough": self.passthrough}
        return tuple(name for name, value in named.items() if value not in (None, False))


@dataclass(frozen=True, slots=True)
class ZeroConfig:
    """The configuration that was made: ``text`` is YAML and has no secrets. ``variables`` are what it refers to."""

    text: str
    port: int
    keys: ProviderKeys
    local: tuple[LocalServer, ...]
    passed_through: tuple[str, ...]
    variables: Mapping[str, str]


def zero_options(when: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--port``, ``--ollama``, ``--vllm`` and ``--passthrough``, handed to the command as one argument ``zero``.

    ``when`` says in their help what they are for.
    """
    options = [
        click.option(
            "--port",
            "--listener-port",
            "port",
            type=click.IntRange(1, 65535),
            show_default=str(DEFAULT_PORT),
            help=f"{when}: the port of the gateway.",
        ),
        click.option(
            "--ollama",
            is_flag=False,
            flag_value="http://127.0.0.1:11434",
            metavar="[URL]",
            help=f"{when}: also the models of the Ollama on this machine.",
        ),
        click.option(
            "--vllm",
            is_flag=False,
            flag_value="http://127.0.0.1:8000",
            metavar="[URL]",
            help=f"{when}: also the models of the vLLM on this machine.",
        ),
        click.option(
            "--passthrough",
            is_flag=True,
            help=f"{when}: also the providers that there is no key of; they get the client's own.",
        ),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_zero(
            *, port: int | None, ollama: str | None, vllm: str | None, passthrough: bool, **others: Any
        ) -> Any:
            return command(zero=ZeroOptions(port, ollama, vllm, passthrough), **others)

        decorated: Callable[..., Any] = with_zero
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def make_zero_config(options: ZeroOptions, folder: Path) -> ZeroConfig:
    """The configuration for the keys of the environment and of ``.env`` in ``folder``.

    Raises ``OperatorError`` where there is nothing that could be asked, or no local server where one was wanted.
    """
    environment = read_environment(folder / "config.yaml", None)
    for problem in environment.problems:
        raise OperatorError(problem.message, fix=problem.suggestion)
    port = DEFAULT_PORT if options.port is None else options.port
    keys = find_keys(environment.variables, own_port=port)
    wanted = {name: url for name, url in (("ollama", options.ollama), ("vllm", options.vllm)) if url is not None}
    local = asyncio.run(find_local(wanted)) if wanted else ()
    passed_through = tuple(filter(_has_address, keys.absent)) if options.passthrough else ()
    if not (keys.found or local or passed_through):
        raise OperatorError(_nothing(keys), fix=_how_to_begin())
    text = render_config(keys.found, local, passed_through, port)
    return ZeroConfig(text, port, keys, local, passed_through, environment.variables)


def render_config(
    found: Sequence[FoundKey], local: Sequence[LocalServer], passed_through: Sequence[str], port: int
) -> str:
    """The file, as a person would write it; keys are references to variables."""
    lines = [
        f"# Made by trident {__version__} from the provider keys in the environment.",
        "# All keys: `trident check --reference`.",
        "version: v0.4.0",
        "",
        "listeners:",
        "  - type: model",
        "    name: models",
        f"    port: {port}  # on 127.0.0.1; base URL http://localhost:{port}/v1, for Anthropic's SDK without /v1",
        "",
        "model_providers:  # a request for openai/gpt-4o goes to the first of them whose name begins with openai/",
    ]
    for key in found:
        lines += [f"  - model: {key.provider}/*", f"    access_key: ${key.variable}"]
        lines += [f"    base_url: {_quoted(key.base_url)}"] if key.base_url is not None else []
    for server in local:
        lines += [f"  - model: {server.provider}/*", f"    base_url: {_quoted(server.url)}"]
    for provider in passed_through:
        lines += [f"  - model: {provider}/*", "    passthrough_auth: true  # gets the client's own key"]
    return "\n".join(lines) + "\n"


def write_zero_config(made: ZeroConfig, state_dir: Path) -> Path:
    """Write it where running instances are noted down, one file for each port; it is read by this user only."""
    folder = state_dir / "zero-config"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / f"{made.port}.yaml"
    draft = target.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(made.text)
    draft.replace(target)
    return target


def zero_sections(made: ZeroConfig) -> tuple[Section, ...]:
    """What was found, what was not, and how it is used."""
    found = [Row(f"{key.provider}/*", (key.variable, key.base_url or "")) for key in made.keys.found]
    found += [Row(f"{server.provider}/*", (server.url, _models_of(server))) for server in made.local]
    found += [Row(f"{name}/*", ("the client's own key",)) for name in made.passed_through]
    unusable = [Row(key.provider, (key.variable,), key.needs, well=False) for key in made.keys.unusable]
    absent = [KEY_VARIABLES[name][0] for name in made.keys.absent if name not in made.passed_through]
    base = f"http://localhost:{made.port}"
    return (
        Section("Found", tuple(found)),
        Section("Not usable", tuple(unusable)),
        Section("Not set", (Row("none of", (", ".join(absent),)),) if absent else ()),
        Section(
            "How to use it",
            (
                Row("OpenAI SDKs", (f"OPENAI_BASE_URL={base}/v1",)),
                Row("Anthropic SDKs", (f"ANTHROPIC_BASE_URL={base}",)),
                Row("coding agents", (_agent(made),)),
                Row("keep it", ("trident init --from-env",)),
            ),
        ),
    )


def example_call(made: ZeroConfig) -> str:
    """A line for the shell that asks a model which is there."""
    body = {"model": _example(made), "messages": [{"role": "user", "content": "Hello"}]}
    url = f"http://localhost:{made.port}/v1/chat/completions"
    return f"curl {url} -H 'Content-Type: application/json' -d '{json.dumps(body, separators=(',', ':'))}'"


def _models_of(server: LocalServer) -> str:
    shown = ", ".join(server.models[:3])
    more = f" and {len(server.models) - 3} more" if len(server.models) > 3 else ""
    return f"{shown}{more}" or "no models yet"


def _example(made: ZeroConfig) -> str:
    providers = [key.provider for key in made.keys.found]
    for provider in providers:
        if provider in _EXAMPLES:
            return f"{provider}/{_EXAMPLES[provider]}"
    for server in made.local:
        if server.models:
            return f"{server.provider}/{server.models[0]}"
    return f"{(*providers, *made.passed_through, *(server.provider for server in made.local))[0]}/MODEL"


def _agent(made: ZeroConfig) -> str:
    """How to start a coding agent: one whose own models are there, else one that is told what to use."""
    found = {key.provider for key in made.keys.found}
    for provider, agent in (("anthropic", "claude"), ("openai", "codex")):
        if provider in found:
            return f"trident run {agent}"
    if made.passed_through:
        return "trident run --own-key claude"
    return f"trident run --model {_example(made)} claude"


def _has_address(provider: str) -> bool:
    url = KNOWN_PROVIDERS[provider].base_url
    return url is not None and "{" not in url


def _nothing(keys: ProviderKeys) -> str:
    message = "There is no configuration here, and no key of a provider in the environment."
    return " ".join([message, *(f"{key.variable} alone is not enough: {key.needs}." for key in keys.unusable)])


def _how_to_begin() -> str:
    names = ", ".join(variable for variable in _first_variables() if variable != "OPENAI_API_KEY")
    return (
        "Set a key, as in `export OPENAI_API_KEY=...`, or put it into a file .env here; "
        f"these are looked for, too: {names}. "
        "Or use models on this machine (`--ollama`, `--vllm`), or write a configuration (`trident init`)."
    )


def _first_variables() -> Iterator[str]:
    return (names[0] for names in KEY_VARIABLES.values())


def _quoted(text: str) -> str:
    return json.dumps(text.replace("$", "$$"))
