"""The extractor that runs inside the gateway: it asks no model, and reads typed values only."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Hashable, Sequence

from cachetools import LRUCache

from router.context import Turn
from router.functions.extraction.dialogue import calls_of
from router.functions.extraction.profiles import TargetProfile, profile_of
from router.functions.extraction.reading import Reader, Reading
from router.functions.extractor import ExtractedCall, Extraction, PendingCall
from router.functions.targets import Target

_MOST_TARGETS = 512  # whose profiles are kept
_LONG_CHARS = 2000  # of a conversation that would hold up the event loop


def local_now() -> datetime.datetime:
    """The time in the zone of the host."""
    return datetime.datetime.now().astimezone()


class EmbeddedExtractor:
    """Reads the arguments of calls out of a conversation by rules; implements ``Extractor``.

    A value is taken from what users say, never made up: a parameter that was not talked about has none. ``clock`` is
    asked once per extraction; days such as "tomorrow" are relative to it, and times are in its zone. Creating one loads
    the names of countries, languages and currencies (a tenth of a second).
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = local_now) -> None:
        self._clock = clock
        self._reader = Reader()
        self._profiles: LRUCache[Hashable, TargetProfile] = LRUCache(_MOST_TARGETS)

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """One call or more for each target. Long conversations are read in a thread.

        What is read is bounded, so ``timeout_s`` is not needed: a request of everyday takes a millisecond or two.
        """
        profiles = [self._profile(target) for target in targets]
        if sum(len(turn.content) for turn in conversation) > _LONG_CHARS:
            return await asyncio.to_thread(self._extracted, profiles, conversation, pending)
        return self._extracted(profiles, conversation, pending)

    def extract_now(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None = None
    ) -> Extraction:
        """What :meth:`extract` finds, here and now."""
        return self._extracted([self._profile(target) for target in targets], conversation, pending)

    def _extracted(
        self, profiles: Sequence[TargetProfile], conversation: Sequence[Turn], pending: PendingCall | None
    ) -> Extraction:
        now = self._clock()
        read: dict[str, Reading] = {}

        def reading_of(text: str) -> Reading:
            if text not in read:
                read[text] = self._reader.read(text, now.date())
            return read[text]

        calls: list[ExtractedCall] = []
        for profile in profiles:
            calls += calls_of(profile, conversation, pending, reading_of, now.tzinfo)
        return Extraction(tuple(calls))

    def _profile(self, target: Target) -> TargetProfile:
        key = (target.name, target.description, repr(target.parameters))
        profile = self._profiles.get(key)
        if profile is None:
            profile = self._profiles[key] = profile_of(target)
        return profile
