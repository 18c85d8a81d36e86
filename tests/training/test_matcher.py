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
from matcher import Matcher, agent_features, padded, roster_loss  # noqa: E402
from scorer import Scorer  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from train_orchestrator import started_from  # noqa: E402

FEATURES = len(roster_features.FEATURES)


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
    agents = [
        (unit(1, 10 + place)[0], unit(3, 20 + place), unit(place % 2, 30 + place), unit(4 + place, 40 + place))
        for place in range(count)
    ]
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
            asked = {f"does thing {number}" for number in range(6) if f"thing {number}" in example.question.newest}
            assert {part.agents[place][1] for place in example.needed} == asked


def test_joined_requests_need_both_agents_in_order() -> None:
    first, second = (
        Case("single", (("user", text),), (name,), ordered=False) for text, name in (("Do a.", "a"), ("Do b", "b"))
    )
    joined = join_cases(first, second, random.Random(1))
    assert joined.expected == ("a", "b")
    assert "o a" in joined.turns[0][1]
    assert joined.turns[0][1].endswith("do b")


def scorer_inputs(agents: int) -> list[torch.Tensor]:
    torch.manual_seed(agents)
    return [
        torch.randn(1, agents, FEATURES), torch.randn(1, 4, 8), torch.randn(1, 4, 8), torch.tensor([[1, 1, 2, 2]]),
        torch.randn(agents, 5, 8), torch.randn(agents, 5, 8), torch.ones(agents, 5),
    ]  # fmt: skip


def test_scores_follow_the_agents_when_the_roster_is_turned_round() -> None:
    inputs = scorer_inputs(3)
    scorer = Scorer(FEATURES, narrow=8).eval()
    turned = [inputs[0].flip(1), *inputs[1:4], *(part.flip(0) for part in inputs[4:])]
    torch.testing.assert_close(scorer(*turned), scorer(*inputs).flip(1))


def test_padding_does_not_change_a_score() -> None:
    inputs = scorer_inputs(2)
    scorer = Scorer(FEATURES, narrow=8).eval()
    longer = [torch.cat([part, torch.randn(part.shape[0], 3, 8)], 1) for part in (*inputs[1:3], *inputs[4:6])]
    kind, mask = (torch.nn.functional.pad(part, (0, 3)) for part in (inputs[3], inputs[6]))
    torch.testing.assert_close(scorer(inputs[0], *longer[:2], kind, *longer[2:], mask), scorer(*inputs))


def test_one_agent_alone_gets_a_score() -> None:
    assert torch.isfinite(Scorer(FEATURES, narrow=8).eval()(*scorer_inputs(1))).all()


def test_rows_are_padded_to_the_longest() -> None:
    numbers, mask = padded([[7, 8, 9], [5]])
    assert numbers.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def tiny_matcher(seed: int) -> Matcher:
    torch.manual_seed(seed)
    return Matcher(Encoder(layers=1, width=384, heads=12, vocabulary=50), Tokenizer(WordLevel({"a": 0}, "a")))


def test_a_run_starts_between_the_checkpoint_and_the_published_encoder() -> None:
    published, tuned = tiny_matcher(0), tiny_matcher(1)
    state = started_from(tuned.state_dict(), published, 0.25)
    name = "encoder.layers.0.qkv.weight"
    torch.testing.assert_close(state[name], 0.25 * tuned.state_dict()[name] + 0.75 * published.state_dict()[name])
    torch.testing.assert_close(state["scorer.scale"], tuned.state_dict()["scorer.scale"])


def test_features_that_a_checkpoint_lacks_change_nothing_at_first() -> None:
    published, tuned = tiny_matcher(0), tiny_matcher(1)
    known = FEATURES - 7
    old = tuned.state_dict()
    for name, width in (("scorer.base.0.weight", 1), ("scorer.mean", 0), ("scorer.std", 0)):
        old[name] = old[name].narrow(width, 0, known)
    published.load_state_dict(started_from(old, published, 1.0))
    inputs = scorer_inputs(3)
    wide = [torch.randn(1, 3, FEATURES), *(torch.randn(1, 4, 96) for _ in range(2)), inputs[3],
            *(torch.randn(3, 5, 96) for _ in range(2)), inputs[6]]  # fmt: skip
    other = [torch.cat([wide[0][..., :known], torch.randn(1, 3, 7)], -1), *wide[1:]]
    scorer = published.scorer.eval()
    torch.testing.assert_close(scorer(*wide), scorer(*other))
