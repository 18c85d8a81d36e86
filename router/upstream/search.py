"""Who is asked next for one request, given what happened to it so far. No I/O; times are the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

from router.errors import GatewayError, ProviderUnavailable, UpstreamError, UpstreamStatus
from router.upstream.cluster import Candidate, Member, select
from router.upstream.retry import Backoff, Remedy


class Choice(NamedTuple):
    """One member, and the candidate that it is asked for."""

    candidate: Candidate
    member: Member


def _presentable(member: Member, error: GatewayError) -> GatewayError:
    """``error``, unless it is about a key of ours: some providers quote it, and it is none of the client's business."""
    if error.status != HTTPStatus.UNAUTHORIZED or not member.own_credentials or not isinstance(error, UpstreamStatus):
        return error
    message = f"'{member.name}' refuses the credentials of the gateway."
    return UpstreamStatus(
        message, status=error.status, code=error.code, type_=error.type, retry_after_s=error.retry_after_s
    )


class Search:
    """The tries of one request, in rounds.

    In a round, everyone who can be asked is asked once: the members of the first candidate, then those of the next.
    Credentials of the client's own go to one member only, whoever else would take them: they are that provider's.
    ``tries`` counts all of them. ``settled``: the newest error is final. ``unpaid``: what it calls for repeats nothing,
    as the request was not even sent, or goes on to a model that it fits.
    """

    __slots__ = (
        "_asked",
        "_candidates",
        "_entrusted",
        "_error",
        "_limited",
        "_refused",
        "_rounds",
        "_ruled_out",
        "_window",
        "settled",
        "tries",
        "unpaid",
    )

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.tries = 0
        self.settled = False
        self.unpaid = False
        self._candidates = candidates
        self._asked: list[Choice] = []  # in this round
        self._ruled_out: list[Member] = []  # for the whole request
        self._refused: list[Candidate] = []  # for the whole request, by limits of ours
        self._entrusted: Member | None = None  # who has got the client's credentials
        self._window = -1  # context windows have to be larger; -1: any will do, also an unknown one
        self._rounds = 0
        self._error: GatewayError | None = None
        self._limited = True  # every error so far was a rate limit

    def next(self, now: float) -> Choice | None:
        """Who is to be asked, of those who were not yet in this round; ``None`` when nobody is left."""
        for candidate in self._candidates:
            is_first = not (self.tries or self._refused)
            member = select(candidate.members if is_first else self._open_members(candidate), candidate.model, now)
            if member is not None:
                return Choice(candidate, member)
        return None

    def twin(self, choice: Choice, now: float) -> Choice | None:
        """Another member for the same model, to be asked at the same time."""
        member = select(self._open_members(choice.candidate), choice.candidate.model, now)
        return None if member is None else Choice(choice.candidate, member)

    def began(self, choice: Choice) -> None:
        """``choice`` is being asked."""
        self.tries += 1
        self._asked.append(choice)
        if not choice.member.own_credentials:
            self._entrusted = choice.member

    def failed(self, choice: Choice, error: GatewayError, remedy: Remedy) -> None:
        """``choice`` gave ``error``, for which ``remedy`` may help."""
        error = _presentable(choice.member, error)
        self._limited = self._limited and error.status == HTTPStatus.TOO_MANY_REQUESTS
        self.unpaid = remedy == "larger" or not isinstance(error, UpstreamError)
        if remedy == "nothing":
            self.settled = True
            self._error = error
            return
        if remedy == "elsewhere":
            self._ruled_out.append(choice.member)
        elif remedy == "larger":
            self._window = max(self._window, choice.member.context_window or 0)
        # An error that may pass tells more than one of a single member, such as a wrong key.
        if self._error is None or error.retryable or not self._error.retryable:
            self._error = error

    def refused(self, candidate: Candidate) -> None:
        """``candidate`` may not be asked for this request. That says nothing about what was asked for, so no error."""
        self._refused.append(candidate)
        self.unpaid = True

    def pause_s(self, now: float, backoff: Backoff, random: Callable[[], float]) -> float | None:
        """How long to wait before everyone may be asked again; ``None`` when nobody will be there in time.

        The end of a ``Retry-After`` is waited for where it is near, the end of an open circuit breaker is not.
        """
        waits = [
            choice.member.aside_s(choice.candidate.model, now)
            for choice in self._eligible()
            if choice.member.breaker.admits(now)
        ]
        if not waits or min(waits) > backoff.max_s:
            return None
        return min(waits) + backoff.pause_s(self._rounds, random)

    def start_over(self) -> None:
        """Begin the next round."""
        self._rounds += 1
        self._asked.clear()

    def failure(self, now: float) -> GatewayError:
        """What the client is told: the newest error that says something, or that nobody could be asked at all.

        Where it is all about rate limits, it says when the first of them ends.
        """
        ready = [choice.member.ready_in_s(choice.candidate.model, now) for choice in self._eligible()]
        soonest = min(ready, default=0.0)
        if self._error is None:
            return self._nobody(now, soonest)
        told = self._error.retry_after_s
        if self._limited and soonest > 0 and (told is None or soonest < told):
            self._error.retry_after_s = soonest
        return self._error

    def forget_error(self) -> None:
        """Let go of the newest error, whose traceback leads back here."""
        self._error = None

    def _nobody(self, now: float, soonest: float) -> UpstreamStatus | ProviderUnavailable:
        model = self._candidates[0].model
        if all(choice.member.breaker.admits(now) for choice in self._eligible()):
            return UpstreamStatus(
                f"Every provider of '{model}' has asked to be left alone for a while.",
                status=int(HTTPStatus.TOO_MANY_REQUESTS),
                code="rate_limit_exceeded",
                type_="rate_limit_error",
                retry_after_s=soonest,
            )
        return ProviderUnavailable(
            f"No provider of '{model}' can be asked right now: they have been failing.", retry_after_s=soonest
        )

    def _eligible(self) -> Iterator[Choice]:
        """Everyone whom the request may still go to, in this round or a later one."""
        for candidate in self._candidates:
            for member in () if candidate in self._refused else candidate.members:
                if self._may_go_to(member):
                    yield Choice(candidate, member)

    def _may_go_to(self, member: Member) -> bool:
        if member in self._ruled_out or (self._window >= 0 and (member.context_window or 0) <= self._window):
            return False
        return member.own_credentials or self._entrusted is None or self._entrusted is member

    def _open_members(self, candidate: Candidate) -> list[Member]:
        if candidate in self._refused:
            return []
        asked = [choice.member for choice in self._asked if choice.candidate.model == candidate.model]
        return [member for member in candidate.members if member not in asked and self._may_go_to(member)]
