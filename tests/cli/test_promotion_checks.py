"""What a version of a model has to pass, asked of a fake Triton."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.cli.promotion_checks import Golden, VersionChecks, read_golden, with_orchestrator
from router.config import load_config
from router.errors import OperatorError
from router.runtime.agents import models_in_use
from router.triton.client import TritonClient
from tests.fakes.triton import FakeTriton

GOLDEN = Path(__file__).parents[1] / "model_repository" / "golden"
CONFIG = """\
version: v0.4.0
agents: [{id: one, url: http://localhost:1}, {id: two, url: http://localhost:2}]
listeners:
  - {type: agent, name: front, port: 8000, agents: [{id: one, description: One.}, {id: two, description: Two.}]}
"""


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as triton:
        yield triton


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


def guards(triton: FakeTriton, client: TritonClient, labels: list[str]) -> VersionChecks:
    """Checks of a second version of a guard, which has other labels."""
    triton.classifier("guard", ["benign", "attack"], lambda text: [0.9, 0.1])
    triton.classifier("guard.v2", labels, lambda text: [0.9] + [0.1] * (len(labels) - 1))
    return VersionChecks(client, "guard", "guard.v2", timeout_s=5)


async def test_more_labels_are_welcome_and_fewer_are_not(triton: FakeTriton, client: TritonClient) -> None:
    found = await guards(triton, client, ["benign", "attack", "injection"]).contract()
    assert found == {"inputs": ["TEXT"], "outputs": ["SCORES"]}
    with pytest.raises(OperatorError, match="does not know the labels attack"):
        await guards(triton, client, ["benign", "injection"]).contract()


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([("WORDS", "BYTES", [1])], [("SCORES", "FP32", [2])], r"has no input TEXT \(BYTES\)"),
        ([("TEXT", "INT64", [1])], [("SCORES", "FP32", [2])], r"has no input TEXT \(BYTES\)"),
        ([("TEXT", "BYTES", [1])], [("LOGITS", "FP32", [2])], r"has no output SCORES \(FP32\)"),
        ([("TEXT", "BYTES", [1]), ("LANGUAGE", "BYTES", [1])], [("SCORES", "FP32", [2])], "wants LANGUAGE"),
    ],
)
async def test_other_tensors_are_named(
    triton: FakeTriton, client: TritonClient, inputs: list[object], outputs: list[object], reason: str
) -> None:
    checks = guards(triton, client, ["benign", "attack"])
    triton.models["guard.v2"].inputs, triton.models["guard.v2"].outputs = inputs, outputs  # type: ignore[assignment]
    with pytest.raises(OperatorError, match=reason):
        await checks.contract()


async def test_a_warm_up_that_is_not_answered_in_time_fails(triton: FakeTriton, client: TritonClient) -> None:
    guards(triton, client, ["benign", "attack"])
    checks = VersionChecks(client, "guard", "guard.v2", timeout_s=0.2)
    assert await checks.warm_up() == {"asked": 5}
    triton.models["guard.v2"].hang = True
    with pytest.raises(OperatorError, match=r"did not stand the warm-up: .* in time"):
        await checks.warm_up()


async def test_golden_decisions_of_released_orchestrators_can_be_asked(
    triton: FakeTriton, client: TritonClient
) -> None:
    golden = read_golden(GOLDEN / "orchestrator.json")
    known = json.loads((GOLDEN / "orchestrator.json").read_text())
    by_text = {case["turns"][-1]: case for case in known["cases"]}

    def released(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> list[float]:
        return by_text[conversation[-1]["content"]]["scores"]  # type: ignore[no-any-return]

    triton.orchestrator(released, name="right").parameters["threshold"] = str(known["threshold"])
    triton.orchestrator(lambda conversation, routes: [0.0] * len(routes), name="wrong")
    found = await VersionChecks(client, "right", "right", timeout_s=5).golden(golden)
    assert found == {"right": len(by_text), "cases": len(by_text)}
    with pytest.raises(OperatorError, match=rf"of {len(by_text)} golden cases"):
        await VersionChecks(client, "right", "wrong", timeout_s=5).golden(golden)


@pytest.mark.parametrize(
    "case", [{"text": "x", "refused": False}, {"text": "x", "flagged": ["benign"]}], ids=["refused", "flagged"]
)
async def test_golden_decisions_of_classifiers_can_be_asked(
    triton: FakeTriton, client: TritonClient, case: dict[str, object]
) -> None:
    checks = guards(triton, client, ["benign", "attack"])
    assert await checks.golden(Golden.model_validate({"cases": [case]})) == {"right": 1, "cases": 1}
    triton.models["guard.v2"].parameters["threshold"] = "0.05"
    with pytest.raises(OperatorError, match="0 of 1 golden cases"):
        await checks.golden(Golden.model_validate({"cases": [case]}))


@pytest.mark.parametrize("name", ["jailbreak.json", "moderation.json", "orchestrator.json"])
def test_the_golden_files_of_the_models_are_read(name: str) -> None:
    assert read_golden(GOLDEN / name).cases


def test_a_golden_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "golden.json").write_text("[]")
    with pytest.raises(OperatorError, match=r"golden\.json cannot be read"):
        read_golden(tmp_path / "golden.json")


def test_routing_tests_ask_the_version_in_the_place_of_the_orchestrator(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    loaded = load_config(file, {})
    assert models_in_use(loaded.config) == ("orchestrator",)
    assert models_in_use(with_orchestrator(loaded, "orchestrator", "orchestrator.v2")) == ("orchestrator.v2",)
    with pytest.raises(OperatorError, match="jailbreak decides on no routes"):
        with_orchestrator(loaded, "jailbreak", "jailbreak.v2")
