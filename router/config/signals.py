"""``signals``: what is looked for in finished conversations, beside the bundled phrases."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Name, Section


class Signals(Section):
    """How the signals of conversations are found; `overrides.disable_signals` turns them off."""

    encoder: Name | None = Field(
        default=None,
        description="Sentence encoder on Triton, such as `encoder`, that finds what no phrase says. Without it, only "
        "phrases count.",
    )
