"""Which environment variables hold the keys of well-known providers, and which of those are set."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from router.config.known_providers import AZURE, BEDROCK

# The first name is the one that the provider's own documentation uses; the others are spellings of its SDKs, and
# `DO_API_KEY` is Plano's. Names that say nothing of the provider are left out: they may hold somebody else's key.
KEY_VARIABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "openai": ("OPENAI_API_KEY",),
        "anthropic": ("ANTHROPIC_API_KEY",),
        "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "groq": ("GROQ_API_KEY",),
        "mistral": ("MISTRAL_API_KEY",),
        "deepseek": ("DEEPSEEK_API_KEY",),
        "xai": ("XAI_API_KEY",),
        "together_ai": ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        "openrouter": ("OPENROUTER_API_KEY",),
        "vercel": ("AI_GATEWAY_API_KEY",),
        "moonshotai": ("MOONSHOT_API_KEY",),
        "zhipu": ("ZHIPUAI_API_KEY", "ZHIPU_API_KEY"),
        "digitalocean": ("GRADIENT_MODEL_ACCESS_KEY", "DO_API_KEY"),
        "xiaomi": ("MIMO_API_KEY", "XIAOMI_API_KEY"),
        "edenai": ("EDENAI_API_KEY",),
        AZURE: ("AZURE_OPENAI_API_KEY",),
        BEDROCK: ("AWS_BEARER_TOKEN_BEDROCK",),
        "qwen": ("DASHSCOPE_API_KEY",),
    }
)

AZURE_ENDPOINT = "AZURE_OPENAI_ENDPOINT"

# Where the SDKs of these two send what the key is for, and what is between that and the paths of the dialect.
_BASE_URLS = {"openai": ("OPENAI_BASE_URL", ""), "anthropic": ("ANTHROPIC_BASE_URL", "/v1")}
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A provider that can be asked: the key is in ``variable``. ``base_url`` where it is not the known one."""

    provider: str
    variable: str
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """A provider whose key is in ``variable``, and what there is no ``base_url`` for: ``needs`` says what to do."""

    provider: str
    variable: str
    needs: str


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """What the environment has: keys in the order of ``KEY_VARIABLES``, and the providers without one."""

    found: tuple[FoundKey, ...]
    unusable: tuple[UnusableKey, ...]
    absent: tuple[str, ...]


def find_keys(variables: Mapping[str, str], *, own_port: int) -> ProviderKeys:
    """The provider keys in ``variables``. A base URL that is our own listener's, on ``own_port``, is not used."""
    found: list[FoundKey] = []
    unusable: list[UnusableKey] = []
    absent: list[str] = []
    for provider, names in KEY_VARIABLES.items():
        variable = next(_set(variables, *names), None)
        if variable is None:
            absent.append(provider)
            continue
        needs = _missing(provider, variables)
        if needs is not None:
            unusable.append(UnusableKey(provider, variable, needs))
        else:
            found.append(FoundKey(provider, variable, _base_url(provider, variables, own_port)))
    return ProviderKeys(tuple(found), tuple(unusable), tuple(absent))


def _set(variables: Mapping[str, str], *names: str) -> Iterator[str]:
    return (name for name in names if variables.get(name, "").strip())


def _missing(provider: str, variables: Mapping[str, str]) -> str | None:
    if provider == AZURE and not any(_set(variables, AZURE_ENDPOINT)):
        return f"set {AZURE_ENDPOINT}, too"
    if provider == BEDROCK and not any(_set(variables, *_REGIONS)):
        return f"set {_REGIONS[0]}, too"
    if provider == "qwen":
        return "its address depends on the region: write a file with `base_url`"
    return None


def _base_url(provider: str, variables: Mapping[str, str], own_port: int) -> str | None:
    if provider == AZURE:
        endpoint = variables[AZURE_ENDPOINT].strip().rstrip("/")
        return endpoint if _path(endpoint) else f"{endpoint}/openai/v1"
    name, suffix = _BASE_URLS.get(provider, ("", ""))
    given = variables.get(name, "").strip().rstrip("/")
    if not given or _is_loopback(given, own_port):
        return None
    return f"{given}{suffix}"


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""  # reported with the configuration that it ends up in


def _is_loopback(url: str, port: int) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port == port and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host of a URL can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
