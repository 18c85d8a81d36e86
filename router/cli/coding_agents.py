"""How coding agents are told to use a gateway: variables and arguments, as each of them documents it.

Claude Code     https://code.claude.com/docs/en/llm-gateway, https://code.claude.com/docs/en/model-config
Codex           https://developers.openai.com/codex/config-advanced
opencode        https://opencode.ai/docs/config, https://opencode.ai/docs/providers
aider           https://aider.chat/docs/llms/openai-compat.html
goose           https://block.github.io/goose/docs/getting-started/providers
others          the variables that the SDKs of OpenAI and Anthropic read

A key is only ever in a variable: arguments can be read by every user of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from router.config.client_environment import API_KEY_VARIABLE
from router.errors import OperatorError

# The alias of Plano's configurations for the small model of Claude Code.
SMALL_MODEL_ALIAS = "arch.claude.code.small.fast"

# What goes where a key has to be, and the gateway wants none.
_NO_KEY = "unused"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A listener as an agent is to use it. ``base_url`` has no path; ``key`` is ``None`` where none is needed.

    ``models`` are the names that the listener has, without wildcards and what is unavailable. ``own_key``: the agent
    keeps its own credentials, which the gateway passes on.
    """

    base_url: str
    key: str | None = field(repr=False)
    models: tuple[str, ...]
    own_key: bool = False

    @property
    def openai_url(self) -> str:
        """The base URL of everything that speaks OpenAI's APIs."""
        return f"{self.base_url}/v1"

    @property
    def token(self) -> str:
        """The key, or what stands in for it."""
        return self.key or _NO_KEY


@dataclass(frozen=True, slots=True)
class Launch:
    """What an agent is started with: variables to set and to remove, and arguments before the user's own."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    removed: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """One program. ``usual_model``, of the provider ``home``, is what it asks for; ``None``: it has to be told."""

    title: str
    install: str
    home: str | None
    usual_model: str | None
    launch: Callable[[Gateway, str | None, Mapping[str, str]], Launch]


def launch_claude(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """Claude Code. What would have it go to another cloud, or send the user's own key, is taken out."""
    variables = {"ANTHROPIC_BASE_URL": gateway.base_url}
    removed = ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"]
    if not gateway.own_key:
        variables["ANTHROPIC_AUTH_TOKEN"] = gateway.token
        removed.append("ANTHROPIC_API_KEY")
    small = SMALL_MODEL_ALIAS if SMALL_MODEL_ALIAS in gateway.models else model
    if model is not None:
        variables["ANTHROPIC_MODEL"] = model
    if small is not None and "ANTHROPIC_DEFAULT_HAIKU_MODEL" not in environ:
        # The second is what older versions call it.
        variables |= {"ANTHROPIC_DEFAULT_HAIKU_MODEL": small, "ANTHROPIC_SMALL_FAST_MODEL": small}
    return Launch(variables, tuple(removed))


def launch_codex(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """Codex: a provider of its own, given as configuration; the built-in one cannot be moved that way."""
    key_variable = "OPENAI_API_KEY" if gateway.own_key else API_KEY_VARIABLE
    settings = {
        "model_provider": "trident",
        "model_providers.trident.name": "Trident",
        "model_providers.trident.base_url": gateway.openai_url,
        "model_providers.trident.env_key": key_variable,
        "model_providers.trident.wire_api": "responses",
    }
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={json.dumps(value)}")]
    arguments += ["--model", model] if model is not None else []
    return Launch({} if gateway.own_key else {API_KEY_VARIABLE: gateway.token}, (), tuple(arguments))


def launch_opencode(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """opencode: a provider with the listener's models, in the configuration that is read last."""
    names = list(dict.fromkeys((*((model,) if model is not None else ()), *gateway.models)))
    given = _json_object(environ.get("OPENCODE_CONFIG_CONTENT"))
    key = environ.get("OPENAI_API_KEY", _NO_KEY) if gateway.own_key else gateway.token
    ours = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Trident",
        "options": {"baseURL": gateway.openai_url, "apiKey": key},
        "models": {name: {"name": name} for name in names},
    }
    config = {**given, "provider": {**_mapping(given.get("provider")), "trident": ours}}
    if names:
        config["model"] = f"trident/{names[0]}"
    return Launch({"OPENCODE_CONFIG_CONTENT": json.dumps(config)})


def launch_aider(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """aider: ``openai/`` says which API it is to speak, and is not sent."""
    chosen = {} if model is None else {"AIDER_MODEL": f"openai/{model}"}
    return Launch({"OPENAI_API_BASE": gateway.openai_url, **_openai_key(gateway), **chosen})


def launch_goose(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """goose: the provider for OpenAI, at another host; it appends the path itself."""
    chosen = {} if model is None else {"GOOSE_MODEL": model}
    return Launch(
        {"GOOSE_PROVIDER": "openai", "OPENAI_HOST": gateway.base_url, **_openai_key(gateway), **chosen},
        ("OPENAI_BASE_PATH", "OPENAI_BASE_URL"),
    )


def launch_any(gateway: Gateway, model: str | None, environ: Mapping[str, str]) -> Launch:
    """Any program: what the SDKs read. It is told no model, because there is no common variable for that."""
    variables = {"OPENAI_BASE_URL": gateway.openai_url, "ANTHROPIC_BASE_URL": gateway.base_url, **_openai_key(gateway)}
    if gateway.own_key:
        return Launch(variables)
    return Launch({**variables, "ANTHROPIC_AUTH_TOKEN": gateway.token}, ("ANTHROPIC_API_KEY",))


# Which models they ask for changes with their versions; what matters here is whether names of that kind are known.
CODING_AGENTS: Mapping[str, CodingAgent] = {
    "claude": CodingAgent(
        "Claude Code", "npm install -g @anthropic-ai/claude-code", "anthropic", "claude-sonnet-4-5", launch_claude
    ),
    "codex": CodingAgent("Codex", "npm install -g @openai/codex", "openai", "gpt-5-codex", launch_codex),
    "opencode": CodingAgent("opencode", "npm install -g opencode-ai", None, None, launch_opencode),
    "aider": CodingAgent("aider", "python -m pip install aider-install && aider-install", None, None, launch_aider),
    "goose": CodingAgent("goose", "see https://block.github.io/goose", None, None, launch_goose),
}


def _openai_key(gateway: Gateway) -> dict[str, str]:
    return {} if gateway.own_key else {"OPENAI_API_KEY": gateway.token}


def _json_object(text: str | None) -> dict[str, object]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OperatorError(
            "OPENCODE_CONFIG_CONTENT is set, and not a JSON object that a provider can be added to.",
            fix="Unset it, or start opencode yourself with a provider for the gateway in it.",
        )
    return found


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
