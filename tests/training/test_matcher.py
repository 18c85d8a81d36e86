"""What is trained is what is served."""

from __future__ import annotations

import random

import numpy as np
import pytest
from corpus import Agent, Case
from roster_examples import Slice, join_cases, question, roster_of, sample_slice
from serving import roster_features

torch = pytest.importorskip("torch", reason="needs the training environment (PyTorch), see training/README.md")
pytest.importorskip("safetensors", reason="needs the training environment (safetensors), see training/README.md")

from encoder import Encoder  # noqa: E402
from matcher import agent_features, roster_loss  # noqa: E402


def unit(rows: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    "turns", [[("user", "Hello. Do a, then b")], [("user", "a"), ("assistant", "b"), ("user", "c")]]
)
def test_training_features_equal_the_served_ones(count: int, turns: list[tuple[str, str]]) -> None:
    asked = question(turns)
    vectors = unit(len(asked.texts), 0)
    agents = [(unit(1, 10 + place)[0], unit(3, 20 + place), unit(place % 2, 30 + place)) for place in range(count)]
    served, _ = roster_features.agent_features(
        asked, vectors, [roster_features.AgentVectors(*agent) for agent in agents]
    )
    trained = agent_features(asked, torch.tensor(vectors), [tuple(map(torch.tensor, agent)) for agent in agents])
    np.testing.assert_allclose(trained.numpy(), served, atol=1e-5)


def test_the_loss_falls_when_the_needed_agent_rises() -> None:
    part = Slice((("a", "does a"), ("b", "does b")), roster_of("r", [Agent("a", "x"), Agent("b", "y")],
                 [Case("single", (("user", "q"),), ("a",), ordered=False)]).examples)  # fmt: skip
    right, wrong = torch.tensor([2.0, -2.0]), torch.tensor([-2.0, 2.0])
    assert roster_loss([right], [part]) < roster_loss([wrong], [part])


def test_padding_does_not_change_a_text() -> None:
    torch.manual_seed(0)
    encoder = Encoder(layers=2, width=24, heads=2, vocabulary=50).eval()
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    alone = Encoder.pool(encoder(ids[:, :3], mask[:, :3]), mask[:, :3])
    torch.testing.assert_close(Encoder.pool(encoder(ids, mask), mask), alone, atol=1e-5, rtol=0)


def test_a_slice_keeps_the_needed_agents_whatever_is_dropped() -> None:
    agents = [Agent(f"n{number}", f"does thing {number}") for number in range(6)]
    cases = [Case("single", (("user", f"thing {number}"),), (f"n{number}",), ordered=False) for number in range(6)]
    roster = roster_of("r", agents, cases)
    for seed in range(40):
        part = sample_slice(roster, 3, random.Random(seed))
        for example in part.examples:
            [place] = example.needed
            assert part.agents[place][1] == f"does {example.question.newest}"


def test_joined_requests_need_both_agents_in_order() -> None:
    first, second = (
        Case("single", (("user", text),), (name,), ordered=False) for text, name in (("Do a.", "a"), ("Do b", "b"))
    )
    joined = join_cases(first, second, random.Random(1))
    assert joined.expected == ("a", "b")
    assert "o a" in joined.turns[0][1]
    assert joined.turns[0][1].endswith("do b")
