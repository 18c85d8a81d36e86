from __future__ import annotations

from pathlib import Path

import pytest

from router.cli.report import admin_section, admin_url, config_sections, model_section
from router.cli.status import Row
from router.config import load_config
from router.config.admin import Admin
from tests.fakes.triton import FakeModel, FakeTriton

CONFIG = """\
version: v0.4.0
agents:
  - {id: weather_agent, url: http://localhost:1}
  - {id: flight_agent, url: http://localhost:2}
  - {id: spare_agent, url: http://localhost:3}
model_providers:
  - {model: openai/gpt-4o, name: main, access_key: $KEY, default: true}
  - {model: groq/llama, access_key: $NO_KEY}
  - {model: anthropic/claude, access_key: $KEY}
listeners:
  - type: agent
    name: travel
    port: 8001
    agents:
      - {id: weather_agent, description: Weather.}
      - {id: flight_agent, description: Flights., default: true}
  - {type: prompt, name: functions, port: 8004}
  - {type: model, name: everywhere, port: 8002, address: 0.0.0.0}
  - {type: model, name: six, port: 8003, address: "fd00::1"}
"""


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, dict[str, Row]]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    found = config_sections(load_config(file, {"KEY": "secret"}).config)
    return {section.title: {row.name: row for row in section.rows} for section in found}


def test_listeners_come_with_the_url_that_a_client_uses(sections: dict[str, dict[str, Row]]) -> None:
    assert sections["Listeners"] == {
        "travel": Row("travel", ("agent", "http://localhost:8001/v1/chat/completions")),
        "functions": Row("functions", ("prompt", "http://localhost:8004/v1/chat/completions")),
        "everywhere": Row(
            "everywhere",
            ("model", "http://localhost:8002/v1/chat/completions"),
            "reachable from other machines",
            well=False,
        ),
        "six": Row("six", ("model", "http://[fd00::1]:8003/v1/chat/completions")),
    }


def test_agents_come_with_their_listeners_and_the_default(sections: dict[str, dict[str, Row]]) -> None:
    assert sections["Agents"] == {
        "weather_agent": Row("weather_agent", ("http://localhost:1", "on travel")),
        "flight_agent": Row("flight_agent", ("http://localhost:2", "on travel (default)")),
        "spare_agent": Row("spare_agent", ("http://localhost:3", ""), "unused", well=False),
    }


def test_providers_say_whether_they_can_be_used(sections: dict[str, dict[str, Row]]) -> None:
    rows = sections["Providers"]
    assert rows["main (openai/gpt-4o)"] == Row("main (openai/gpt-4o)", ("default",), "available")
    assert not rows["groq/llama"].well
    assert rows["groq/llama"].state == "unavailable: the environment variable NO_KEY is not set"
    assert rows["anthropic/claude"] == Row("anthropic/claude", ("",), "available")


async def test_models_come_with_version_and_contract() -> None:
    async with FakeTriton() as triton:
        triton.orchestrator(lambda conversation, routes: [0.5], version="4")
        triton.classifier("jailbreak", ["benign", "jailbreak"], lambda text: [0.5, 0.5])
        triton.add(FakeModel("echo", [("IN", "BYTES", [1])], [("OUT", "BYTES", [1])], lambda inputs: []))
        section = await model_section(("orchestrator", "jailbreak", "echo", "gone"), triton.address, "Triton 2.51")
    assert section.title == "Models (Triton 2.51)"
    assert section.rows[:3] == (
        Row("orchestrator", ("version 4", "orchestrator, scoring contract"), "ready"),
        Row("jailbreak", ("version 1", "classifier (benign, jailbreak)"), "ready"),
        Row("echo", ("version 1", "unknown contract"), "ready"),
    )
    assert (section.rows[3].well, section.rows[3].state.startswith("not served: ")) == (False, True)


async def test_models_of_a_server_that_is_away_are_not_served() -> None:
    async with FakeTriton() as triton:
        await triton.kill()
        section = await model_section(("orchestrator",), triton.address, "Triton")
    assert not section.rows[0].well
    assert "cannot be reached" in section.rows[0].state


@pytest.mark.parametrize(
    ("address", "url", "reach"),
    [
        ("127.0.0.1", "http://localhost:9901", ""),
        ("0.0.0.0", "http://localhost:9901", "reachable from other machines"),
        ("10.0.0.7", "http://10.0.0.7:9901", ""),
        ("fd00::7", "http://[fd00::7]:9901", ""),
    ],
)
def test_the_operators_port_is_shown(address: str, url: str, reach: str) -> None:
    admin = Admin(address=address)
    assert admin_url(address, 9901) == url
    metrics, ready = admin_section(admin, url).rows
    assert (metrics.facts, metrics.state, metrics.well) == ((f"{url}/metrics",), reach, not reach)
    assert ready.facts == (f"{url}/readyz",)


def test_there_is_nothing_to_show_without_an_operators_port() -> None:
    assert admin_section(Admin(enabled=False), None).rows == ()
