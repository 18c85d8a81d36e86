"""What a guard looks at, and what it does about what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["newest_user", "conversation", "tool_results", "all"]
Action: TypeAlias = Literal["block", "redact", "annotate", "route"]


@dataclass(frozen=True, slots=True)
class Windowing:
    """How a streamed answer is cut for judging: at the end of a sentence, or else after ``window_chars``.

    What has waited for ``max_wait_s`` is judged as it is.
    """

    at: Literal["sentence", "chars"] = "sentence"
    window_chars: int = 200
    max_wait_s: float = 1.0


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """One guard's settings, as docs/guardrails.md describes them.

    ``message`` is what a refused client reads, ``placeholder`` what stands where something was redacted, ``route`` the
    agent or model that ``action`` ``route`` sends a request to. ``on_error`` is what happens while the guard's model is
    gone. ``unseen`` is what happens to content that no text guard can read, such as pictures. ``timeout_s`` is for a
    short text; long ones get more.
    """

    name: str
    message: str = "I can't help with that request."
    scope: Scope = "conversation"
    action: Action = "block"
    route: str | None = None
    on_block: Literal["answer", "error"] = "answer"
    placeholder: str = "[redacted]"
    on_error: Literal["deny", "allow"] = "deny"
    unseen: Literal["deny", "allow"] = "allow"
    shadow: bool = False
    reveal_score: bool = False
    timeout_s: float = 10.0
    windowing: Windowing = Windowing()

    @property
    def acts(self) -> bool:
        """Whether an answer has to wait for this guard's verdict."""
        return not self.shadow and self.action != "annotate"
