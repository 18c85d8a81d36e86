from __future__ import annotations

import pytest

from router.config import KNOWN_PROVIDERS, ModelProvider

# The provider names that files use without a base URL, and those that need one.
WITHOUT = [
    *("openai", "anthropic", "deepseek", "groq", "mistral", "gemini", "xai", "together_ai", "moonshotai", "zhipu"),
    *("openrouter", "vercel", "digitalocean", "xiaomi", "edenai"),
]
NEEDING = ["azure_openai", "ollama", "qwen", "amazon_bedrock", "vllm"]


@pytest.mark.parametrize("name", WITHOUT)
def test_well_known_providers_need_no_address(load, name: str) -> None:
    text = f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1}}]\nmodel_providers: [{{model: {name}/x}}]\n"
    (provider,) = load(text).config.model_providers
    assert provider.base_url == KNOWN_PROVIDERS[name].base_url
    assert provider.base_url is not None
    assert provider.base_url.startswith("https://")
    assert not provider.base_url.endswith("/")


@pytest.mark.parametrize("name", NEEDING)
def test_the_others_say_that_they_need_one(problems, name: str) -> None:
    text = f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1}}]\nmodel_providers: [{{model: {name}/x}}]\n"
    (problem,) = problems(text)
    assert "needs `base_url`" in problem.message


@pytest.mark.parametrize(
    ("model", "interface", "dialect"),
    [
        ("openai/gpt-4o", None, "openai_chat"),
        ("anthropic/claude", None, "anthropic_messages"),
        ("azure_openai/gpt-4o", None, "azure_openai"),
        ("amazon_bedrock/nova", None, "bedrock_converse"),
        ("groq/llama", None, "openai_chat"),
        ("mine/claude", "claude", "anthropic_messages"),
        ("mine/claude", "anthropic", "anthropic_messages"),
        ("mine/llama", "openai", "openai_chat"),
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


def test_a_model_id_may_contain_slashes() -> None:
    provider = ModelProvider(model="openrouter/meta-llama/llama-3")
    assert (provider.provider, provider.model_id, provider.is_wildcard) == (
        "openrouter",
        "meta-llama/llama-3",
        False,
    )


@pytest.mark.parametrize("model", ["gpt-4o", "/x", "openai/", "*/x", "openai/gpt-*", "openai/ "])
def test_malformed_model_names(problems, model: str) -> None:
    text = f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1}}]\nmodel_providers: [{{model: '{model}'}}]\n"
    assert "model_providers[0].model" in [problem.path for problem in problems(text)]


@pytest.mark.parametrize("name", ["openai/gpt-4o", "gpt-4o", "second", "anthropic/anything-at-all", "fast"])
def test_the_names_under_which_models_are_known(load, name: str) -> None:
    text = (
        "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1}]\n"
        "model_providers: [{model: openai/gpt-4o}, {model: openai/o3, name: second}, {model: anthropic/*}]\n"
        f"model_aliases: {{fast: {{target: gpt-4o}}, other: {{target: {name}}}}}\n"
    )
    assert load(text).config.model_aliases["other"].target == name
