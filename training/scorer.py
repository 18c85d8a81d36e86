"""The head of the orchestrator: tokens of a turn against tokens of every description, agents against agents.

It reads three things: similarity features of whole texts (``roster_features.py``), keys and values of the turn's
tokens, keys and values of each description's tokens. Each token of the turn looks for its match in a description; what
it finds, and how much better it finds it there than in the other descriptions, is weighed over the turn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FAR = -1e4


class TokenProjection(nn.Module):
    """Token states ``[..., 384]`` to the unit keys and the values that are kept of them, ``[..., 96]`` each."""

    def __init__(self, width: int = 384, narrow: int = 96) -> None:
        super().__init__()
        self.proj = nn.Linear(width, narrow)
        self.val = nn.Linear(width, narrow)
        self.drop = nn.Dropout(0.2)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        states = self.drop(states)
        return functional.normalize(self.proj(states), dim=-1), self.val(states)


class Scorer(nn.Module):
    """One logit for each agent, ``[B, N]``; all questions of a batch are asked of the same agents."""

    def __init__(self, features: int, narrow: int = 96, hidden: int = 48, base: int = 32) -> None:
        super().__init__()
        wide = base + 2 * hidden + 2
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        # Similarity goes straight to the logit too: where rosters are unlike those of training, it errs less.
        self.straight = nn.Parameter(torch.zeros(()))
        self.base = nn.Sequential(nn.Linear(features, base), nn.ReLU(), nn.Dropout(0.1))
        self.scale = nn.Parameter(torch.tensor(2.5))
        self.flag = nn.Parameter(torch.zeros(narrow))
        self.mix = nn.Sequential(nn.Linear(4 * narrow + 3, hidden), nn.ReLU())
        self.weight = nn.Linear(hidden + narrow, 1)
        self.setmix = nn.Linear(wide, 32)
        self.out = nn.Sequential(nn.Linear(wide + 64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def forward(
        self, features: Tensor, keys: Tensor, values: Tensor, kind: Tensor, agent_keys: Tensor, agent_values: Tensor,
        agent_mask: Tensor,
    ) -> Tensor:  # fmt: skip
        """``features [B, N, F]``, ``keys`` and ``values [B, T, P]``, ``agent_* [N, U, P]``, ``agent_mask [N, U]``.

        The last feature is the similarity as a whole.

        ``kind [B, T]``: 1 for a token of the newest turn, 2 for one of the turn in its context, 0 for padding.
        """
        known, history = (kind > 0).float(), (kind > 1).float()
        similar = torch.einsum("btp,nup->bntu", keys, agent_keys) + (1.0 - agent_mask)[None, :, None, :] * FAR
        best = similar.amax(-1)
        found = torch.einsum("bntu,nup->bntp", (similar * self.scale.exp()).softmax(-1), agent_values)
        asked = (values + history.unsqueeze(-1) * self.flag).unsqueeze(1).expand(-1, best.shape[1], -1, -1)
        gap = _gap(best)
        seen = torch.stack([best, gap, history.unsqueeze(1).expand(-1, best.shape[1], -1)], dim=-1)
        matched = self.mix(torch.cat([asked, found, asked * found, asked - found, seen], -1))
        weight = self.weight(torch.cat([matched, asked], -1))[..., 0] + (1.0 - known).unsqueeze(1) * FAR
        weight = weight.softmax(-1)
        pooled = (weight.unsqueeze(-1) * matched).sum(2)
        highest = (matched * known[:, None, :, None]).amax(2)
        mean_best = (best * known.unsqueeze(1)).sum(-1) / known.sum(-1, keepdim=True)
        mean_gap = (gap * weight).sum(-1)
        agent = torch.cat(
            [self.base((features - self.mean) / self.std), pooled, highest, 4 * mean_best.unsqueeze(-1),
             4 * mean_gap.unsqueeze(-1)], -1,
        )  # fmt: skip
        mixed = self.setmix(agent).relu()
        others = [mixed - mixed.mean(1, keepdim=True), mixed - mixed.amax(1, keepdim=True)]
        return self.out(torch.cat([agent, *others], -1))[..., 0] + self.straight * features[..., -1]


def _gap(values: Tensor) -> Tensor:
    """``[B, N, T]``: each agent's value less the best of the others; 0 where there is no other."""
    top = torch.cat([values, values.amin(1, keepdim=True)], 1).topk(2, dim=1).values
    return torch.where(values >= top[:, :1], values - top[:, 1:], values - top[:, :1])
