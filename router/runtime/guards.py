"""The guards of a configuration, and which of them stand at which listener."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from router.config import Config, Filter, JailbreakGuard
from router.config.guardrails import Guardrail
from router.context import RouteDescription
from router.filters.chain import FilterChain
from router.filters.guardrail import GuardrailFilter
from router.guardrails import (
    Guard,
    GuardPolicy,
    InputGuards,
    LabelCheck,
    OutputGuards,
    ScoredModel,
    SizeCheck,
    TopicCheck,
    Windowing,
)
from router.guardrails.checks import Check, TopicScorer
from router.handlers.admission import Admission
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.models import Classifier, ScoringOrchestrator

if TYPE_CHECKING:
    from router.runtime.services import Elsewhere  # loads gRPC

JAILBREAK_MODEL = "jailbreak"
MODERATION_MODEL = "moderation"
_JAILBREAK = "jailbreak"
_JAILBREAK_LABELS: Mapping[str, None] = {"jailbreak": None, "injection": None}


def guard_models(config: Config) -> Iterator[str]:
    """The models on Triton that guards and filters of ``config`` ask; those of guards may be asked elsewhere."""
    here = config.services.guardrails is None
    if here and config.prompt_guards.input_guards.jailbreak is not None:
        yield JAILBREAK_MODEL
    for each in config.filters:
        if here and each.type == "guardrail" and each.model is not None:
            yield each.model
        if each.type == "pii" and each.pii.model is not None:
            yield each.pii.model
        if each.type == "memory":
            yield each.memory.model
    for guardrail in config.guardrails if here else ():
        if guardrail.model is not None:
            yield guardrail.model
        if guardrail.topic is not None:
            yield guardrail.topic.model


class Guards:
    """All guards of a configuration. Those on one model share what it said: a text is judged once."""

    def __init__(
        self, config: Config, triton: TritonClient, metrics: Metrics, elsewhere: Elsewhere | None = None
    ) -> None:
        self._config = config
        self._triton = triton
        self._elsewhere = elsewhere
        self._metrics = metrics
        self._models: dict[str, ScoredModel] = {}
        self._guards = {guardrail.name: self._guard(guardrail) for guardrail in config.guardrails}
        jailbreak = config.prompt_guards.input_guards.jailbreak
        self._short_form = None if jailbreak is None else self._jailbreak_guard(jailbreak)

    @property
    def by_name(self) -> Mapping[str, Guard]:
        """Every guard, the short form in ``prompt_guards`` among them."""
        return self._guards if self._short_form is None else {**self._guards, _JAILBREAK: self._short_form}

    @property
    def classifiers(self) -> Mapping[str, ScoredModel]:
        """The classifiers that guards and filters of the configuration ask, by model."""
        for each in self._config.filters:
            if each.type == "guardrail":
                self._model(each.model or each.id)
        return self._models

    def topics(self, model: str) -> TopicScorer:
        """Who scores topics by this orchestrator."""
        remote = None if self._elsewhere is None else self._elsewhere.topics(model)
        return remote or ScoringOrchestrator(self._triton, model)

    def admission(self, listener: str, filters: FilterChain, *, guards_first: bool = False) -> Admission:
        """What requests to a listener, and the answers to them, have to pass."""
        inputs = [] if self._short_form is None else [self._short_form]
        outputs = []
        for guardrail in self._config.guardrails:
            if listener in (guardrail.listeners or [listener]):
                inputs += [self._guards[guardrail.name]] if guardrail.direction != "output" else []
                outputs += [self._guards[guardrail.name]] if guardrail.direction != "input" else []
        max_chars = self._config.limits.max_guard_chars
        judging = InputGuards(inputs, self._metrics, max_chars=max_chars)
        return Admission(judging, OutputGuards(outputs, self._metrics), filters, guards_first=guards_first)

    def filter(self, config: Filter) -> GuardrailFilter:
        """A filter of the type ``guardrail``; what happens while its model is gone is for the filter's policy."""
        policy = GuardPolicy(config.id, timeout_s=config.timeout)
        if config.message is not None:
            policy = replace(policy, message=config.message)
        check = LabelCheck(self._model(config.model or config.id), threshold=config.threshold)
        return GuardrailFilter(Guard(policy, check), self._metrics, max_chars=self._config.limits.max_guard_chars)

    def _jailbreak_guard(self, jailbreak: JailbreakGuard) -> Guard:
        policy = GuardPolicy(
            _JAILBREAK,
            message=jailbreak.on_exception.message,
            on_error=jailbreak.on_error,
            timeout_s=self._config.triton.timeout,
        )
        return Guard(policy, LabelCheck(self._model(JAILBREAK_MODEL), _JAILBREAK_LABELS, jailbreak.threshold))

    def _guard(self, guardrail: Guardrail) -> Guard:
        stream = guardrail.stream
        policy = GuardPolicy(
            guardrail.name,
            message=guardrail.message,
            scope=guardrail.scope,
            action=guardrail.action,
            route=guardrail.route,
            on_block=guardrail.on_block,
            placeholder=guardrail.placeholder,
            on_error=guardrail.on_error,
            unseen=guardrail.unseen,
            shadow=guardrail.shadow,
            reveal_score=guardrail.reveal_score,
            timeout_s=guardrail.timeout,
            windowing=Windowing(stream.window, stream.window_chars, stream.max_wait),
        )
        return Guard(policy, self._check(guardrail))

    def _check(self, guardrail: Guardrail) -> Check:
        topic, size = guardrail.topic, guardrail.max
        if topic is not None:
            routes = [RouteDescription(each.name, each.description.strip()) for each in topic.allow]
            return TopicCheck(self.topics(topic.model), routes, topic.threshold)
        if size is not None:
            return SizeCheck(size.chars, size.messages)
        if guardrail.model is None:
            raise ValueError(f"The guard '{guardrail.name}' has nothing to check.")  # refused when it is loaded
        return LabelCheck(self._model(guardrail.model), guardrail.labels, guardrail.threshold)

    def _model(self, name: str) -> ScoredModel:
        if name not in self._models:
            remote = None if self._elsewhere is None else self._elsewhere.classifier(name)
            self._models[name] = ScoredModel(remote or Classifier(self._triton, name))
        return self._models[name]
