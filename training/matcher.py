"""The trainable orchestrator: the encoder and the head, joined by the same features that are served, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from encoder import Encoder
from roster_examples import Slice
from serving import roster_features
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

WIDTH = len(roster_features.FEATURES)
MAX_TOKENS = 160
CHUNK_TOKENS = 3072


class Matcher(nn.Module):
    """``forward(slice)`` gives one row of agent logits per conversation of the slice."""

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer, *, hidden: int = 32) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.head = nn.Sequential(nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 1))
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(MAX_TOKENS, direction="left")

    def freeze_embeddings(self) -> None:
        """The word table has half of the weights and sees few of its words in this corpus: it stays as published."""
        for parameter in (self.encoder.words.weight, self.encoder.positions.weight, self.encoder.segment):
            parameter.requires_grad_(False)

    def forward(self, parts: Sequence[Slice]) -> list[Tensor]:
        agents = [[roster_features.describe(*pair) for pair in part.agents] for part in parts]
        groups = [agent.texts for roster in agents for agent in roster]
        groups += [example.question.texts for part in parts for example in part.examples]
        distinct = list(dict.fromkeys(text for group in groups for text in group))
        vectors = self.encode(distinct)
        at = {text: row for row, text in enumerate(distinct)}
        logits = []
        for part, roster in zip(parts, agents, strict=True):
            rows = [_agent_rows(agent, vectors, at) for agent in roster]
            for example in part.examples:
                asked = vectors[[at[text] for text in example.question.texts]]
                features = agent_features(example.question, asked, rows)
                logits.append(self.head((features - self.mean) / self.std)[:, 0])
        return logits

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors ``[n, 384]``, in chunks of similar length."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        blocks, start = [], 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end - start + 1) * len(tokens[order[end]]) <= CHUNK_TOKENS:
                end += 1
            blocks.append(self._encode_chunk([tokens[row] for row in order[start:end]]))
            start = end
        place = torch.empty(len(order), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(blocks)[place]

    def _encode_chunk(self, tokens: list[list[int]]) -> Tensor:
        ids = torch.zeros(len(tokens), len(tokens[-1]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, line in enumerate(tokens):
            ids[row, : len(line)] = torch.tensor(line)
            mask[row, : len(line)] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            states = self.encoder(ids, mask)
        return Encoder.pool(states.float(), mask)


def _agent_rows(agent: Any, vectors: Tensor, at: dict[str, int]) -> tuple[Tensor, Tensor, Tensor]:
    whole = vectors[at[agent.whole]]
    phrases = vectors[[at[agent.whole], *(at[text] for text in agent.phrases)]]
    return whole, phrases, vectors[[at[text] for text in agent.exclusions]]


def agent_features(question: Any, asked: Tensor, agents: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """``roster_features.agent_features`` with gradients; a test holds the two together."""
    to_whole = asked @ torch.stack([whole for whole, _, _ in agents]).T
    to_phrase = torch.stack([(asked @ phrases.T).amax(1) for _, phrases, _ in agents], dim=1)
    to_exclusion = torch.stack([_best(asked[3:], exclusions) for _, _, exclusions in agents])
    clause = torch.maximum(to_whole[3:], to_phrase[3:])
    strongest = clause.amax(0)
    history = float(question.before is not None)
    flat = torch.ones(len(agents))
    before, gap_context = to_whole[2] * history, _gap(to_whole[1])
    wins = (clause >= clause.amax(1, keepdim=True) - 1e-6).float().mean(0)
    columns = [
        to_whole[0], to_whole[1], before, to_whole[3:].amax(0),
        to_phrase[0], to_phrase[1], to_phrase[3:].amax(0), to_exclusion,
        _gap(to_whole[0]), gap_context, _gap(strongest), _gap(to_phrase[0]), _gap(before),
        flat * history, flat * min(len(question.newest.split()), 60) / 20, flat * len(question.clauses) / 4,
        to_phrase[0] * history, gap_context * history, flat * strongest.max(), flat * to_whole[1].max(), wins,
    ]  # fmt: skip
    return torch.stack(columns, dim=1)


def _gap(column: Tensor) -> Tensor:
    if len(column) < 2:
        return torch.zeros_like(column)
    first, second = column.topk(2).values
    return torch.where(column >= first, column - second, column - first)


def _best(asked: Tensor, others: Tensor) -> Tensor:
    return (asked @ others.T).max() if len(others) else torch.zeros(())


def roster_loss(logits: Sequence[Tensor], parts: Sequence[Slice], *, choice: float = 0.5) -> Tensor:
    """Yes or no for each agent, and a choice among the agents of the roster where somebody is needed."""
    examples = [example for part in parts for example in part.examples]
    total = torch.zeros(())
    for row, example in zip(logits, examples, strict=True):
        wanted = torch.zeros_like(row)
        wanted[list(example.needed)] = 1.0
        total = total + functional.binary_cross_entropy_with_logits(row, wanted, reduction="sum")
        if example.needed:
            total = total - choice * row.log_softmax(0)[list(example.needed)].mean()
    return total / len(examples)
