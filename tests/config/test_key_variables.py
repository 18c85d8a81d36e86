from __future__ import annotations

import pytest

from router.config.key_variables import KEY_VARIABLES, FoundKey, find_keys
from router.config.known_providers import AZURE, BEDROCK, KNOWN_PROVIDERS

KEYLESS = {"ollama", "vllm", "plano", "arch"}


def test_every_known_provider_that_wants_a_key_is_looked_for() -> None:
    assert set(KEY_VARIABLES) == set(KNOWN_PROVIDERS) - KEYLESS


def test_no_variable_means_two_providers() -> None:
    names = [name for names in KEY_VARIABLES.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("provider", [name for name, known in KNOWN_PROVIDERS.items() if known.base_url])
def test_a_key_is_enough_where_the_address_is_known(provider: str) -> None:
    variables = {KEY_VARIABLES[provider][-1]: "k", "AWS_REGION": "eu-west-1"}
    keys = find_keys(variables, own_port=12000)
    assert keys.found == (FoundKey(provider, KEY_VARIABLES[provider][-1]),)
    assert keys.unusable == ()
    assert set(keys.absent) == set(KEY_VARIABLES) - {provider}


def test_the_first_spelling_that_is_set_wins() -> None:
    keys = find_keys({"GOOGLE_API_KEY": "b", "GEMINI_API_KEY": "a"}, own_port=12000)
    assert keys.found == (FoundKey("gemini", "GEMINI_API_KEY"),)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_not_set(value: str) -> None:
    assert find_keys({"OPENAI_API_KEY": value}, own_port=12000).found == ()


@pytest.mark.parametrize(
    ("variable", "provider", "needed"),
    [
        ("AZURE_OPENAI_API_KEY", AZURE, "AZURE_OPENAI_ENDPOINT"),
        ("AWS_BEARER_TOKEN_BEDROCK", BEDROCK, "AWS_REGION"),
        ("DASHSCOPE_API_KEY", "qwen", "base_url"),
    ],
)
def test_a_key_without_an_address_is_said_to_need_one(variable: str, provider: str, needed: str) -> None:
    keys = find_keys({variable: "k"}, own_port=12000)
    assert keys.found == ()
    ((found, name, needs),) = [(key.provider, key.variable, key.needs) for key in keys.unusable]
    assert (found, name) == (provider, variable)
    assert needed in needs


@pytest.mark.parametrize(
    ("endpoint", "base_url"),
    [
        ("https://x.openai.azure.com/", "https://x.openai.azure.com/openai/v1"),
        ("https://x.openai.azure.com/openai/v1", "https://x.openai.azure.com/openai/v1"),
    ],
)
def test_azure_is_where_its_endpoint_says(endpoint: str, base_url: str) -> None:
    keys = find_keys({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": endpoint}, own_port=12000)
    assert keys.found == (FoundKey(AZURE, "AZURE_OPENAI_API_KEY", base_url),)


def test_a_key_goes_where_the_sdks_would_send_it() -> None:
    keys = find_keys(
        {
            "OPENAI_API_KEY": "a",
            "OPENAI_BASE_URL": "https://proxy.example/v1/",
            "ANTHROPIC_API_KEY": "b",
            "ANTHROPIC_BASE_URL": "https://proxy.example/anthropic",
        },
        own_port=12000,
    )
    assert [key.base_url for key in keys.found] == [
        "https://proxy.example/v1",
        "https://proxy.example/anthropic/v1",
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_base_url_that_is_the_gateways_own_is_not_used(host: str) -> None:
    variables = {"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": f"http://{host}:12000/v1"}
    assert find_keys(variables, own_port=12000).found[0].base_url is None
    assert find_keys(variables, own_port=12001).found[0].base_url == f"http://{host}:12000/v1"


@pytest.mark.parametrize("url", ["http://[::1", "http://localhost:notaport/v1", "nonsense"])
def test_a_base_url_that_is_none_is_left_to_the_check_of_the_configuration(url: str) -> None:
    assert find_keys({"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": url}, own_port=12000).found[0].base_url == url
