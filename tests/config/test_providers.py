from __future__ import annotations

from typing import Any

import pytest

from router.config import KNOWN_PROVIDERS, ModelProvider

# The provider names that files use without a base URL, and those that need one.
WITHOUT = [
    *("openai", "anthropic", "deepseek", "groq", "mistral", "gemini", "xai", "together_ai", "moonshotai", "zhipu"),
    *("openrouter", "vercel", "digitalocean", "xiaomi", "edenai"),
]
NEEDING = ["azure_openai", "ollama", "qwen", "vllm"]


def _file(provider: str) -> str:
    return f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1}}]\nmodel_providers: [{provider}]\n"


@pytest.mark.parametrize("name", WITHOUT)
def test_well_known_providers_need_no_address(load, name: str) -> None:
    (provider,) = load(_file(f"{{model: {name}/x}}")).config.model_providers
    assert provider.base_url == KNOWN_PROVIDERS[name].base_url
    assert provider.base_url is not None
    assert provider.base_url.startswith("https://")
    assert not provider.base_url.endswith("/")


@pytest.mark.parametrize("name", NEEDING)
def test_the_others_say_that_they_need_one(problems, name: str) -> None:
    (problem,) = problems(_file(f"{{model: {name}/x}}"))
    assert "needs `base_url`" in problem.message


@pytest.mark.parametrize(
    ("model", "interface", "dialect"),
    [
        ("openai/gpt-4o", None, "openai_chat"),
        ("anthropic/claude", None, "anthropic_messages"),
        ("azure_openai/gpt-4o", None, "openai_chat"),
        ("amazon_bedrock/nova", None, "bedrock_converse"),
        ("groq/llama", None, "openai_chat"),
        ("mine/claude", "claude", "anthropic_messages"),
        ("mine/claude", "anthropic", "anthropic_messages"),
        ("mine/llama", "openai", "openai_chat"),
        ("mine/gpt", "openai_responses", "openai_responses"),
        ("mine/nova", "amazon_bedrock", "bedrock_converse"),
    ],
)
def test_dialects(model: str, interface: str | None, dialect: str) -> None:
    provider = ModelProvider(model=model, base_url="http://h/v1", provider_interface=interface)
    assert provider.dialect == dialect


@pytest.mark.parametrize(
    ("model", "given", "resolved"),
    [
        ("openai/x", None, "https://api.openai.com/v1"),
        ("openai/x", "http://h", "http://h/v1"),
        ("openai/x", "http://h:8080/", "http://h:8080/v1"),
        ("openai/x", "http://h/v1/", "http://h/v1"),
        ("openai/x", "http://h:8080/coding/v3", "http://h:8080/coding/v3"),
        ("anthropic/x", "http://h", "http://h/v1"),
        ("azure_openai/x", "https://me.openai.azure.com", "https://me.openai.azure.com"),
        ("amazon_bedrock/x", "https://bedrock-runtime.eu.amazonaws.com", "https://bedrock-runtime.eu.amazonaws.com"),
    ],
)
def test_the_path_of_a_base_url_is_kept_and_only_a_missing_one_completed(
    model: str, given: str | None, resolved: str
) -> None:
    assert ModelProvider(model=model, base_url=given).base_url == resolved


@pytest.mark.parametrize(
    ("model", "given", "dialects"),
    [
        ("openai/gpt-4o", {}, ("openai_chat", "openai_responses")),
        ("openai/gpt-4o", {"base_url": "https://eu.api.openai.com/v1"}, ("openai_chat", "openai_responses")),
        ("openai/gpt-4o", {"base_url": "https://api.openai.com.example/v1"}, ("openai_chat",)),
        ("openai/llama", {"base_url": "http://localhost:8000/v1"}, ("openai_chat",)),
        ("azure_openai/a", {"base_url": "https://me.openai.azure.com/openai/v1"}, ("openai_chat", "openai_responses")),
        ("azure_openai/a", {"base_url": "https://me.openai.azure.com"}, ("openai_chat",)),
        ("vllm/a", {"base_url": "http://h", "dialects": ["anthropic_messages"]}, ("anthropic_messages",)),
    ],
)
def test_what_a_provider_speaks(model: str, given: dict[str, Any], dialects: tuple[str, ...]) -> None:
    assert ModelProvider(model=model, **given).dialects == dialects


def test_a_list_of_dialects_says_something(problems) -> None:
    found = problems(_file("{model: vllm/x, base_url: 'http://h', dialects: []}"))
    assert [(problem.path, problem.message) for problem in found] == [
        ("model_providers[0].dialects", "This list is empty.")
    ]


@pytest.mark.parametrize(
    ("provider", "environ", "base_url"),
    [
        ("{model: amazon_bedrock/x, region: eu-west-1}", {"AWS_REGION": "us-east-1"}, "eu-west-1"),
        ("{model: amazon_bedrock/x}", {"AWS_REGION": "us-east-1"}, "us-east-1"),
        ("{model: amazon_bedrock/x}", {"AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
        ("{model: mine/x, provider_interface: amazon_bedrock, region: ap-south-1}", {}, "ap-south-1"),
    ],
)
def test_the_address_of_bedrock_follows_from_its_region(load, provider: str, environ: Any, base_url: str) -> None:
    (entry,) = load(_file(provider), environ).config.model_providers
    assert entry.base_url == f"https://bedrock-runtime.{base_url}.amazonaws.com"
    assert entry.aws_region == base_url


def test_the_address_of_bedrock_says_its_region_and_wins_over_the_environment(load) -> None:
    text = _file("{model: amazon_bedrock/x, base_url: 'https://bedrock-runtime.eu-west-3.amazonaws.com'}")
    (entry,) = load(text, {"AWS_REGION": "us-east-1"}).config.model_providers
    assert (entry.base_url, entry.aws_region) == ("https://bedrock-runtime.eu-west-3.amazonaws.com", "eu-west-3")


def _credentials(entry: ModelProvider) -> tuple[str | None, ...]:
    secrets = (entry.access_key, entry.aws_secret_access_key, entry.aws_session_token)
    key, secret, token = (None if value is None else value.get_secret_value() for value in secrets)
    return key, entry.aws_access_key_id, secret, token


_OWN = "aws_access_key_id: a, aws_secret_access_key: s"
_AWS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}


@pytest.mark.parametrize(
    ("keys", "environ", "credentials"),
    [
        ("", {"AWS_BEARER_TOKEN_BEDROCK": "B", **_AWS}, ("B", None, None, None)),
        ("", {**_AWS, "AWS_SESSION_TOKEN": "T"}, (None, "A", "S", "T")),
        ("", _AWS, (None, "A", "S", None)),
        ("", {"AWS_ACCESS_KEY_ID": "A"}, (None, None, None, None)),
        (", access_key: k", _AWS, ("k", None, None, None)),
        (f", {_OWN}", {**_AWS, "AWS_SESSION_TOKEN": "T"}, (None, "a", "s", None)),
        (", passthrough_auth: true", _AWS, (None, None, None, None)),
    ],
)
def test_credentials_of_bedrock(load, keys: str, environ: Any, credentials: tuple[str | None, ...]) -> None:
    (entry,) = load(_file(f"{{model: amazon_bedrock/x, region: r{keys}}}"), environ).config.model_providers
    assert _credentials(entry) == credentials


def test_no_credential_is_shown(load) -> None:
    environ = {f"AWS_{name}": "vErY-sEcReT" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")}
    (entry,) = load(_file("{model: amazon_bedrock/x, region: r}"), environ).config.model_providers
    assert entry.aws_access_key_id == "vErY-sEcReT"
    assert "vErY-sEcReT" not in f"{entry!r} {entry}"


def test_aws_variables_are_for_bedrock_alone(load) -> None:
    (entry,) = load(_file("{model: openai/x}"), {**_AWS, "AWS_REGION": "us-east-1"}).config.model_providers
    assert _credentials(entry) == (None, None, None, None)
    assert entry.region is None


@pytest.mark.parametrize(
    ("provider", "path", "message"),
    [
        (
            "{model: amazon_bedrock/x}",
            "model_providers[0].model",
            "It is not said in which AWS region the provider of `amazon_bedrock/x` is.",
        ),
        (
            "{model: amazon_bedrock/x, region: 'evil.example/'}",
            "model_providers[0].region",
            "`evil.example/` is not the name of an AWS region.",
        ),
        (
            "{model: amazon_bedrock/x, region: r, aws_access_key_id: a}",
            "model_providers[0].aws_access_key_id",
            "`aws_access_key_id` is of no use without `aws_secret_access_key`.",
        ),
        (
            "{model: amazon_bedrock/x, region: r, aws_secret_access_key: s}",
            "model_providers[0].aws_secret_access_key",
            "`aws_secret_access_key` is of no use without `aws_access_key_id`.",
        ),
        (
            f"{{model: amazon_bedrock/x, base_url: 'http://proxy', {_OWN}}}",
            "model_providers[0].aws_access_key_id",
            "Requests are signed for a region, and `base_url` does not say which one it is.",
        ),
        (
            "{model: azure_openai/x, base_url: 'http://h', api_version: 'x&y=1'}",
            "model_providers[0].api_version",
            "`x&y=1` is not an API version.",
        ),
        ("{model: openai/x, weight: 0}", "model_providers[0].weight", "`0` is less than 1."),
    ],
)
def test_what_a_provider_cannot_be(problems, provider: str, path: str, message: str) -> None:
    errors = [problem for problem in problems(_file(provider)) if problem.severity == "error"]
    assert [(problem.path, problem.message) for problem in errors] == [(path, message)]


@pytest.mark.parametrize(
    ("provider", "path", "message"),
    [
        (
            "{model: amazon_bedrock/x, region: r}",
            "model_providers[0].model",
            "There are no credentials for `amazon_bedrock/x`, so Bedrock will refuse requests.",
        ),
        (
            f"{{model: amazon_bedrock/x, region: r, access_key: k, {_OWN}}}",
            "model_providers[0].aws_access_key_id",
            "`aws_access_key_id` is not used: a request with an API key needs no signature.",
        ),
        (
            "{model: openai/x, region: us-east-1}",
            "model_providers[0].region",
            "`region` is not used: only `amazon_bedrock` has it.",
        ),
        (
            "{model: azure_openai/x, base_url: 'http://h/openai/v1', api_version: preview}",
            "model_providers[0].api_version",
            "`api_version` is not used: URLs that end in `/openai/v1` have none.",
        ),
        (
            "{model: openai/x, api_version: preview}",
            "model_providers[0].api_version",
            "`api_version` is not used: only `azure_openai` has it.",
        ),
    ],
)
def test_what_does_nothing_is_a_warning(load, provider: str, path: str, message: str) -> None:
    assert [(warning.path, warning.message) for warning in load(_file(provider)).warnings] == [(path, message)]


def test_a_model_id_may_contain_slashes() -> None:
    provider = ModelProvider(model="openrouter/meta-llama/llama-3")
    assert (provider.provider, provider.model_id, provider.is_wildcard) == (
        "openrouter",
        "meta-llama/llama-3",
        False,
    )


@pytest.mark.parametrize("model", ["gpt-4o", "/x", "openai/", "*/x", "openai/gpt-*", "openai/ "])
def test_malformed_model_names(problems, model: str) -> None:
    assert "model_providers[0].model" in [problem.path for problem in problems(_file(f"{{model: '{model}'}}"))]


@pytest.mark.parametrize("name", ["openai/gpt-4o", "gpt-4o", "second", "anthropic/anything-at-all", "fast"])
def test_the_names_under_which_models_are_known(load, name: str) -> None:
    text = (
        "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1}]\n"
        "model_providers: [{model: openai/gpt-4o}, {model: openai/o3, name: second}, {model: anthropic/*}]\n"
        f"model_aliases: {{fast: {{target: gpt-4o}}, other: {{target: {name}}}}}\n"
    )
    assert load(text).config.model_aliases["other"].target == name
