"""The trainable orchestrator: encoder and scorer, joined by the same texts and features that are served, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from encoder import Encoder
from roster_examples import Slice
from scorer import Scorer, TokenProjection
from serving import roster_features
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

MAX_TOKENS = roster_features.MAX_TOKENS
CHUNK_TOKENS = 3072


@dataclass(frozen=True)
class Encoded:
    """Distinct texts: unit vectors ``[n, 384]``, and the token states of all of them one after another."""

    vectors: Tensor
    tokens: Tensor
    spans: Sequence[tuple[int, int]]
    at: dict[str, int]

    def rows(self, texts: Sequence[str]) -> Tensor:
        return self.vectors[[self.at[text] for text in texts]]

    def places(self, texts: Sequence[str]) -> list[int]:
        """Where the tokens of ``texts`` are."""
        return [place for text in texts for place in range(*self.spans[self.at[text]])]


class Matcher(nn.Module):
    """``forward(slices)`` gives one row of agent logits per conversation of the slices."""

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokens = TokenProjection()
        self.scorer = Scorer(len(roster_features.FEATURES))
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(MAX_TOKENS, direction="left")

    def freeze_lower(self, layers: int) -> None:
        """The word table and the lowest layers stay as they are.

        The table has half of the weights and sees few of its words in this corpus; a step without the lowest layers'
        gradients takes less time.
        """
        for module in (self.encoder.words, self.encoder.positions, self.encoder.norm, *self.encoder.layers[:layers]):
            module.requires_grad_(False)
        self.encoder.segment.requires_grad_(False)

    def forward(self, parts: Sequence[Slice]) -> list[Tensor]:
        agents = [[roster_features.describe(*pair) for pair in part.agents] for part in parts]
        groups = [agent.texts for roster in agents for agent in roster]
        groups += [example.question.texts for part in parts for example in part.examples]
        encoded = self.encode(list(dict.fromkeys(text for group in groups for text in group)))
        keys, values = self.tokens(encoded.tokens)
        logits: list[Tensor] = []
        for part, roster in zip(parts, agents, strict=True):
            described = [
                (
                    encoded.rows([one.whole])[0],
                    encoded.rows([one.whole, *one.phrases]),
                    encoded.rows(one.exclusions),
                    encoded.rows([one.whole, *one.phrases, *one.items]),
                )
                for one in roster
            ]
            questions = [example.question for example in part.examples]
            features = torch.stack([agent_features(one, encoded.rows(one.texts), described) for one in questions])
            asked, kind = padded([encoded.places(one.token_texts) for one in questions])
            for row, one in enumerate(questions):
                kind[row, len(encoded.places([one.newest])) :] *= 2
            listed, mask = padded([encoded.places([one.whole]) for one in roster])
            logits += self.scorer(
                features, keys[asked], values[asked], kind, keys[listed], values[listed], mask.float()
            )
        return logits

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Every text once, in chunks of similar length."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        pooled, flat, start = [], [], 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end - start + 1) * len(ids[order[end]]) <= CHUNK_TOKENS:
                end += 1
            vectors, tokens = self._encode_chunk([ids[row] for row in order[start:end]])
            pooled.append(vectors)
            flat.append(tokens)
            start = end
        spans, position = [(0, 0)] * len(ids), 0
        for row in order:
            spans[row] = (position, position + len(ids[row]))
            position += len(ids[row])
        place = torch.empty(len(order), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(order))
        at = {text: row for row, text in enumerate(texts)}
        return Encoded(torch.cat(pooled)[place], torch.cat(flat), spans, at)

    def _encode_chunk(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        ids, mask = padded(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            states = self.encoder(ids, mask)
        states = states.float()
        return Encoder.pool(states, mask), states[mask.bool()]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows of numbers as one tensor, and its mask."""
    numbers = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(numbers)
    for place, row in enumerate(rows):
        numbers[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
    return numbers, mask


def agent_features(question: Any, asked: Tensor, agents: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """``roster_features.agent_features`` with gradients; a test holds the two together."""
    to_whole = asked @ torch.stack([whole for whole, *_ in agents]).T
    to_phrase = torch.stack([(asked @ phrases.T).amax(1) for _, phrases, *_ in agents], dim=1)
    to_exclusion = torch.stack([_best(asked[3:], exclusions) for _, _, exclusions, _ in agents])
    to_part = (to_whole + torch.stack([(asked @ parts.T).amax(1) for *_, parts in agents], dim=1)) / 2
    part = to_part[3:].amax(0)
    evidence = torch.maximum(to_part[0], part)
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
        to_part[0], to_part[1], part, _gap(to_part[0]), _gap(to_part[1]), _gap(part), flat * part.max(),
        (evidence + to_part[1]) / 2 if question.before is not None else evidence,
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
