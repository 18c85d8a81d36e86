"""The states of conversations that are under way: a bounded number of them, forgotten when nobody goes on."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from router.signals.analyzer import analyze, continues
from router.signals.exchange import Exchange
from router.signals.report import SignalReport
from router.signals.semantics import Meaning
from router.signals.state import ConversationState

# Conversations that begin with the same words ("Hi") share a key; so many of them are told apart.
MAX_BRANCHES = 8


@dataclass(frozen=True, slots=True)
class TrackerBounds:
    """How many states are kept, and for how long after their last exchange."""

    conversations: int = 10_000
    ttl_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class _Entry:
    state: ConversationState
    used_at: float


class ConversationTracker:
    """Remembers states by the key that a conversation's beginning makes. Not safe for threads.

    Times are the caller's, on any clock that only goes on.

    A state is taken up where an exchange goes on with it: what it knows already is not read again, and after a gap, or
    when history was changed, the conversation begins anew.
    """

    def __init__(self, bounds: TrackerBounds | None = None) -> None:
        self._bounds = bounds or TrackerBounds()
        self._branches = min(MAX_BRANCHES, self._bounds.conversations)
        self._entries: OrderedDict[str, tuple[_Entry, ...]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """How many states are kept."""
        return self._count

    def state_of(self, key: str, exchange: Exchange, now: float) -> ConversationState | None:
        """The state that ``exchange`` goes on with; of several, the one that knows most of it. It stays as it is."""
        fitting = [entry.state for entry in self._alive(key, now) if continues(entry.state, exchange)]
        return max(fitting, key=lambda state: state.seen, default=None)

    def observe(self, key: str, exchange: Exchange, now: float, meaning: Meaning | None = None) -> SignalReport:
        """Analyze ``exchange`` of the conversation ``key``, and remember what comes of it."""
        before = self.state_of(key, exchange, now)
        report, after = analyze(exchange, before, meaning)
        others = [entry for entry in self._alive(key, now) if entry.state is not before]
        self._put(key, (*others, _Entry(after, now))[-self._branches :])
        self._evict(now)
        return report

    def _alive(self, key: str, now: float) -> list[_Entry]:
        return [entry for entry in self._entries.get(key, ()) if now - entry.used_at < self._bounds.ttl_s]

    def _put(self, key: str, entries: tuple[_Entry, ...]) -> None:
        self._count += len(entries) - len(self._entries.pop(key, ()))
        self._entries[key] = entries

    def _evict(self, now: float) -> None:
        """Let go of what is too old, and of what was not used longest where there is too much."""
        while self._entries:
            entries = next(iter(self._entries.values()))
            expired = now - entries[-1].used_at >= self._bounds.ttl_s
            if not expired and self._count <= self._bounds.conversations:
                break
            _, gone = self._entries.popitem(last=False)
            self._count -= len(gone)
