"""What the orchestrator looks at: texts to encode, similarity features per agent, running order. No I/O, no weights.

Training imports this file too, so that a model is served with exactly the features it was trained on.
"""

# ruff: noqa: RUF001 - full-width and typographic punctuation is what users write
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clauses import split_clauses
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

MAX_AGENTS = 50
MAX_TOKENS = 160
MAX_PHRASES = 12
MAX_EXCLUSIONS = 6
MAX_ITEMS = 16
CONTEXT_TURNS = 4
SHARPNESS = 20.0
TURN_CHARS = 600
NEWEST_CHARS = 4000
DESCRIPTION_CHARS = 2000
WHOLE_CHARS = 700
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

# "No refunds", "does not handle parcels", "außer Rechnungen", "sans ...": what an agent says it does not do.
_EXCLUSION = re.compile(
    r"\b(?:not|no|nothing|never|cannot|can't|won't|doesn't|don't|isn't|aren't|except|exclud\w+|without|nicht|kein\w*|außer|ohne|"
    r"pas|sauf|sans|aucun\w*|sin|excepto|ning\w+|nunca|não|sem|exceto|non|senza|tranne|niet|geen|inte|ej|nie|bez)\b",
    re.IGNORECASE,
)
_PHRASE_END = re.compile(r"[.;!?。！？；\n•]+(?:\s+|$)|[。！？；\n•]|\s[–—]\s|(?<=[\w\"”]),\s+(?=[\"“])")
_CUT = re.compile(r"[,(:]|\s(?:but|and|aber|und|mais|et|pero|y)\s", re.IGNORECASE)
# "Cards, limits, lost PINs and fees": what stands in a list is asked for one at a time.
_ITEM_END = re.compile(
    r"[,:/、，]\s*(?:(?:and|or|und|oder|et|ou|y|e|o)\s+)?|\s(?:and|or|und|oder|et|ou|y|och|oraz|en|и)\s", re.I
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+")


@dataclass(frozen=True)
class Question:
    """One conversation, cut into the texts that are encoded: newest turn, turn in context, turns before, clauses."""

    newest: str
    context: str
    before: str | None
    clauses: tuple[str, ...]
    ranks: tuple[int, ...]

    @property
    def texts(self) -> list[str]:
        """All texts, in the order in which :func:`agent_features` expects their vectors."""
        return [self.newest, self.context, self.before or self.newest, *self.clauses]

    @property
    def token_texts(self) -> list[str]:
        """The texts whose tokens are compared one by one: the newest turn, then the turn in its context."""
        return [self.newest, self.context] if self.before is not None else [self.newest]


@dataclass(frozen=True)
class AgentTexts:
    """One description, cut into the texts that are encoded."""

    whole: str
    phrases: tuple[str, ...]
    exclusions: tuple[str, ...]
    items: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        return [self.whole, *self.phrases, *self.exclusions, *self.items]


@dataclass(frozen=True)
class AgentVectors:
    """An encoded description: ``whole`` [d], ``phrases`` [p, d] (row 0 is the whole), ``exclusions`` [e, d].

    ``parts`` [p + i, d] are the phrases and the items of their lists.
    """

    whole: Vectors
    phrases: Vectors
    exclusions: Vectors
    parts: Vectors


def parse_conversation(turns: Any) -> Question:
    """Cut a conversation (list of ``{"role", "content"}``, newest last); ValueError says what is wrong with it."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("CONVERSATION must be a JSON array with at least one turn")
    for turn in turns:
        if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            raise ValueError("each turn of CONVERSATION must be an object with a known role and a text content")
    spoken = [turn for turn in turns if turn["role"] in {"user", "assistant"} and turn["content"].strip()]
    last = max((index for index, turn in enumerate(spoken) if turn["role"] == "user"), default=None)
    if last is None:
        raise ValueError("CONVERSATION has no user turn with text")
    newest = _shorten(spoken[last]["content"].strip(), NEWEST_CHARS)
    history = spoken[max(0, last - CONTEXT_TURNS) : last]
    clauses, ranks = split_clauses(newest)
    lines = [f"{turn['role']}: {_shorten(turn['content'].strip(), TURN_CHARS)}" for turn in history]
    context = "\n".join([*lines, f"user: {newest}"]) if lines else newest
    return Question(newest, context, "\n".join(lines) or None, clauses, ranks)


def parse_routes(routes: Any) -> list[tuple[str, str]]:
    """The agents as ``(name, description)``; ValueError says what is wrong with them."""
    if not isinstance(routes, list) or not 1 <= len(routes) <= MAX_AGENTS:
        raise ValueError(f"ROUTES must be a JSON array of 1 to {MAX_AGENTS} agents")
    pairs = []
    for route in routes:
        name, description = (route.get("name"), route.get("description")) if isinstance(route, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(description, str):
            raise ValueError("each agent of ROUTES must be an object with a text name and a text description")
        pairs.append((name, description[:DESCRIPTION_CHARS]))
    return pairs


def describe(name: str, description: str) -> AgentTexts:
    """Cut a description into phrases, items of lists and exclusions; the name is split into words."""
    name, description = _encodable(name), _encodable(description)
    words = " ".join(_CAMEL.sub(" ", name).split())
    pieces = [piece.strip(" \t-*\"“”'()") for piece in _PHRASE_END.split(description)]
    phrases: list[str] = []
    exclusions: list[str] = []
    for piece in pieces:
        said, dropped = _without_exclusions(piece)
        phrases += [said] if len(said) > 2 else []
        exclusions += [dropped] if len(dropped) > 2 else []
    whole = f"{words}: {' '.join(description.split())[:WHOLE_CHARS]}"
    kept = tuple(dict.fromkeys(phrases))[:MAX_PHRASES]
    return AgentTexts(whole, kept, tuple(exclusions[:MAX_EXCLUSIONS]), _items(kept))


def _items(phrases: Sequence[str]) -> tuple[str, ...]:
    """What the lists of the phrases name, one by one; a phrase without a list has none."""
    cut = [item.strip(" .\"“”'()") for phrase in phrases for item in _ITEM_END.split(phrase)]
    return tuple(item for item in dict.fromkeys(cut) if len(item) > 2 and item not in phrases)[:MAX_ITEMS]


def _without_exclusions(piece: str) -> tuple[str, str]:
    """A phrase up to the part that says no, and that part; a phrase that says no as a whole is all exclusion."""
    found = _EXCLUSION.search(piece)
    if found is None:
        return piece, ""
    cuts = [cut.start() for cut in _CUT.finditer(piece) if cut.start() < found.start()]
    return (piece[: cuts[-1]].rstrip(" ,:("), piece[cuts[-1] :].lstrip(" ,:(")) if cuts else ("", piece)


FEATURES = (
    "newest_whole", "context_whole", "before_whole", "clause_whole", "newest_phrase", "context_phrase", "clause_phrase",
    "clause_exclusion", "gap_newest", "gap_context", "gap_clause", "gap_phrase", "gap_before", "has_history", "words",
    "clauses", "newest_phrase_x_history", "context_gap_x_history", "best_clause", "best_context", "clause_wins",
    "newest_part", "context_part", "clause_part", "gap_newest_part", "gap_context_part", "gap_clause_part", "best_part",
    "evidence",
)  # fmt: skip


def agent_features(question: Question, vectors: Vectors, agents: Sequence[AgentVectors]) -> tuple[Vectors, Vectors]:
    """``[n_agents, len(FEATURES)]``, and how much each clause speaks for each agent, ``[n_clauses, n_agents]``.

    ``vectors`` are those of ``question.texts``. Gaps are to the best other agent, so that an agent that fits nothing
    changes nothing for the others.
    """
    whole = np.stack([agent.whole for agent in agents])
    to_whole = vectors @ whole.T
    to_phrase = np.stack([(vectors @ agent.phrases.T).max(axis=1) for agent in agents], axis=1)
    to_part = (to_whole + np.stack([(vectors @ agent.parts.T).max(axis=1) for agent in agents], axis=1)) / 2
    to_exclusion = np.stack([_best(vectors[3:], agent.exclusions) for agent in agents])
    clause = np.maximum(to_whole[3:], to_phrase[3:])
    strongest = clause.max(axis=0)
    history = float(question.before is not None)
    before = to_whole[2] * history
    gap_context, gap_clause = _gap(to_whole[1]), _gap(strongest)
    count = len(agents)
    flat = np.ones(count, dtype=np.float32)
    wins = (clause >= clause.max(axis=1, keepdims=True) - 1e-6).mean(axis=0)
    part = to_part[3:].max(axis=0)
    evidence = np.maximum(to_part[0], part)
    columns = [
        to_whole[0], to_whole[1], before, to_whole[3:].max(axis=0),
        to_phrase[0], to_phrase[1], to_phrase[3:].max(axis=0), to_exclusion,
        _gap(to_whole[0]), gap_context, gap_clause, _gap(to_phrase[0]), _gap(before),
        flat * history, flat * min(len(question.newest.split()), 60) / 20, flat * len(question.clauses) / 4,
        to_phrase[0] * history, gap_context * history, flat * strongest.max(), flat * to_whole[1].max(), wins,
        to_part[0], to_part[1], part, _gap(to_part[0]), _gap(to_part[1]), _gap(part), flat * part.max(),
        (evidence + to_part[1]) / 2 if history else evidence,
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32), clause


def running_order(question: Question, clause: Vectors, scores: Vectors) -> NDArray[np.int32]:
    """Position of each agent, by the running rank of the clauses that speak for it more than for the others.

    Close agents often share their best clause, so what counts is the difference to the likely agents' mean.
    """
    others = clause @ (scores / max(float(scores.sum()), 1e-6))
    weights = np.exp(SHARPNESS * (clause - others[:, None]))
    ranks = np.asarray(question.ranks, dtype=np.float32) @ (weights / weights.sum(axis=0))
    order = np.empty(len(scores), dtype=np.int32)
    order[np.argsort(ranks, kind="stable")] = np.arange(len(scores), dtype=np.int32)
    return order


def _gap(column: Vectors) -> Vectors:
    """Each value less the best of the other agents (0 where there is no other)."""
    if len(column) < 2:
        return np.zeros_like(column)
    second, first = np.sort(column)[-2:]
    return np.where(column >= first, column - second, column - first).astype(np.float32)


def _best(vectors: Vectors, others: Vectors) -> float:
    return float((vectors @ others.T).max()) if len(others) else 0.0


def _shorten(text: str, limit: int) -> str:
    """Both ends of a long text: requests stand at its beginning or at its end."""
    text = _encodable(text)
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


def _encodable(text: str) -> str:
    """JSON can carry half a surrogate pair; the tokenizer cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
