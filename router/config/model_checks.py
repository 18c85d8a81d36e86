"""Cross-checks of models: providers, aliases, and everything that names a model."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.draft import Draft
from router.config.known_providers import AZURE, BEDROCK, KNOWN_PROVIDERS, interface_of, is_azure_v1, region_of
from router.config.problems import KeyPath, Problem, did_you_mean

# Names of the built-in orchestrator in existing configurations.
_BUILT_IN_MODELS = ("Plano-Orchestrator", "Arch-Router")
# What a Bedrock entry has beside the other keys.
_AWS_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region")


def check_models(draft: Draft) -> Iterator[Problem]:
    """Providers that cannot work, and names of models that lead nowhere."""
    yield from _providers(draft)
    yield from _aliases(draft)
    yield from _uses(draft)
    yield from _metrics_sources(draft)


def _providers(draft: Draft) -> Iterator[Problem]:
    paths = draft.entries(("model_providers",))
    hint = "Give each its own `name`; entries for the same model then share its requests."
    yield from draft.duplicates(
        [(place, name) for path in paths for place, name in _effective_name(draft, path)], "name", hint
    )
    defaults = [path for path in paths if draft.flag((*path, "default"))]
    for path in defaults[1:]:
        message = "More than one model is the default."
        yield draft.document.problem((*path, "default"), message, "Leave `default: true` at one of them.")
    for path in paths:
        yield from _provider(draft, path)


def _effective_name(draft: Draft, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for key in ("name", "model"):
        name = draft.text((*path, key))
        if name is not None:
            yield (*path, key), name
            return


def _provider(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    model = draft.text((*path, "model"))
    if model is None or "/" not in model:
        return
    if model.endswith("/*") and draft.flag((*path, "default")):
        message = "A wildcard cannot be the default: it names no model."
        yield draft.document.problem((*path, "default"), message, "Mark an entry with a model as the default.")
    if draft.flag((*path, "passthrough_auth")) and draft.get((*path, "access_key")) is not None:
        message = "`access_key` is not used: `passthrough_auth` forwards the client's own key."
        yield draft.document.warning((*path, "access_key"), message, "Remove one of them.")
    provider = model.partition("/")[0]
    interface = interface_of(provider, draft.text((*path, "provider_interface")))
    yield from _address(draft, path, provider, interface)
    if interface == BEDROCK:
        yield from _bedrock(draft, path)
    else:
        yield from _unused(draft, path, _AWS_KEYS, "only `amazon_bedrock` has it")
    if interface != AZURE:
        yield from _unused(draft, path, ("api_version",), "only `azure_openai` has it")
    elif is_azure_v1(draft.text((*path, "base_url"))):
        yield from _unused(draft, path, ("api_version",), "URLs that end in `/openai/v1` have none")


def _address(draft: Draft, path: KeyPath, provider: str, interface: str) -> Iterator[Problem]:
    """Whether it is known where the provider is."""
    place: KeyPath = (*path, "model")
    base_url = draft.get((*path, "base_url"))
    known = KNOWN_PROVIDERS.get(provider)
    shown = draft.show(place)
    if interface == BEDROCK:
        if base_url is None and draft.get((*path, "region")) is None:
            message = f"It is not said in which AWS region the provider of {shown} is."
            yield draft.document.problem(place, message, "Add `region`, as in `region: us-east-1`, or set AWS_REGION.")
    elif known is None and (interface == provider or base_url is None):
        given = {"base_url": base_url, "provider_interface": draft.get((*path, "provider_interface"))}
        absent = " and ".join(f"`{key}`" for key, value in given.items() if value is None)
        hint = did_you_mean(provider, KNOWN_PROVIDERS, plural="providers")
        hint = hint if hint.startswith("Did you mean") else "Add it, for example with `provider_interface: openai`."
        yield draft.document.problem(place, f"The provider of {shown} is not a known one: it needs {absent}.", hint)
    elif known is not None and known.base_url is None and base_url is None:
        message = f"The provider of {shown} has no common address: it needs `base_url`."
        yield draft.document.problem(place, message, "Add it, as in `base_url: http://localhost:11434`.")


def _bedrock(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    """Whether requests can be authorised, and signed for a region."""
    key, secret, token, region = ((*path, name) for name in _AWS_KEYS)
    for part, other in ((key, secret), (secret, key), (token, key)):
        if draft.get(part) is not None and draft.get(other) is None:
            message = f"`{part[-1]}` is of no use without `{other[-1]}`."
            yield draft.document.problem(part, message, "Add it.", on_key=True)
    if draft.get(key) is None:
        if draft.get((*path, "access_key")) is None and not draft.flag((*path, "passthrough_auth")):
            message = f"There are no credentials for {draft.show((*path, 'model'))}, so Bedrock will refuse requests."
            hint = "Add an `access_key`, or `aws_access_key_id` and `aws_secret_access_key`, or set AWS's variables."
            yield draft.document.warning((*path, "model"), message, hint)
    elif draft.get((*path, "access_key")) is not None or draft.flag((*path, "passthrough_auth")):
        message = "`aws_access_key_id` is not used: a request with an API key needs no signature."
        yield draft.document.warning(key, message, "Remove one of them.")
    elif draft.get(region) is None and region_of(draft.text((*path, "base_url"))) is None:
        message = "Requests are signed for a region, and `base_url` does not say which one it is."
        yield draft.document.problem(key, message, "Add `region`, as in `region: us-east-1`.", on_key=True)


def _unused(draft: Draft, path: KeyPath, keys: tuple[str, ...], reason: str) -> Iterator[Problem]:
    for key in keys:
        if draft.get((*path, key)) is not None:
            yield draft.document.warning((*path, key), f"`{key}` is not used: {reason}.", "Remove it.")


def _aliases(draft: Draft) -> Iterator[Problem]:
    models = _models(draft)
    aliases = {str(path[-1]): path for path in draft.entries(("model_aliases",))}
    for name, path in aliases.items():
        place: KeyPath = (*path, "target")
        target = draft.text(place)
        if target is None:
            continue
        if target not in aliases and not _known(target, models):
            yield _unknown(draft, place, models, aliases)
        elif cycle := _cycle(draft, name):
            message = f"The alias leads back to itself: {' → '.join(f'`{step}`' for step in cycle)}."
            yield draft.document.problem(place, message, "Let one of them name a model.")
        if name in models:
            message = f"The alias `{name}` has the name of a model; requests for it go to the alias's target."
            yield draft.document.warning(path, message, "Rename the alias if that is not meant.")


def _cycle(draft: Draft, start: str) -> list[str] | None:
    chain = [start]
    while (target := draft.text(("model_aliases", chain[-1], "target"))) is not None:
        if target == start:
            return [*chain, start]
        if target in chain:
            return None  # a cycle further on: reported at its own members
        chain.append(target)
    return None


def _uses(draft: Draft) -> Iterator[Problem]:
    models = _models(draft)
    aliases = {str(path[-1]): path for path in draft.entries(("model_aliases",))}
    orchestrators = {**draft.names(("orchestrators",), "name"), **draft.names(("orchestrators",), "model")}
    uses: list[tuple[KeyPath, str]] = []
    for path in draft.entries(("routing_preferences",)):
        uses.extend(draft.texts((*path, "models")))
    for path in draft.entries(("ratelimits",)):
        if name := draft.text((*path, "model")):
            uses.append(((*path, "model"), name))
        yield from _quantity(draft, path)
    for key in ("llm_routing_model", "agent_orchestration_model"):
        name = draft.text(("overrides", key))
        built_in = name is not None and name.rpartition("/")[2] in _BUILT_IN_MODELS
        if name is not None and not built_in and name not in orchestrators:
            uses.append((("overrides", key), name))
    function_model = draft.text(("overrides", "function_model"))
    if function_model not in (None, "embedded"):
        uses.append((("overrides", "function_model"), str(function_model)))
    for place, name in uses:
        if name not in aliases and not _known(name, models):
            yield _unknown(draft, place, models, aliases)


def _quantity(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    limit = draft.get((*path, "limit"))
    if isinstance(limit, dict) and "tokens" not in limit and "requests" not in limit:
        message = "The limit says neither how many `tokens` nor how many `requests`."
        yield draft.document.problem((*path, "limit"), message, "Add one of them, or both.", on_key=True)


def _metrics_sources(draft: Draft) -> Iterator[Problem]:
    for path in draft.entries(("model_metrics_sources",)):
        kind, provider = draft.text((*path, "type")), draft.text((*path, "provider"))
        if kind not in ("cost", "latency") or provider is None:
            continue
        if (kind == "latency") != (provider == "prometheus"):
            fitting = "prometheus" if kind == "latency" else "models.dev` or `digitalocean"
            message = f"{draft.show((*path, 'provider'))} is no source of {kind}."
            yield draft.document.problem((*path, "provider"), message, f"Use `{fitting}`.")
        for key in ("url", "query"):
            if provider == "prometheus" and draft.get((*path, key)) is None:
                message = f"A source of type `latency` needs `{key}`."
                yield draft.document.problem(path, message, "Add it.")


def _models(draft: Draft) -> dict[str, KeyPath]:
    """Every name under which a configured model can be asked for, wildcards as they are."""
    known: dict[str, KeyPath] = {}
    for path in draft.entries(("model_providers",)):
        place: KeyPath = (*path, "model")
        model = draft.text(place)
        if model is not None:
            known.setdefault(model, place)
            known.setdefault(model.partition("/")[2] or model, place)
        if (name := draft.text((*path, "name"))) is not None:
            known.setdefault(name, (*path, "name"))
    known.pop("*", None)
    return known


def _known(name: str, models: dict[str, KeyPath]) -> bool:
    return name in models or f"{name.partition('/')[0]}/*" in models


def _unknown(draft: Draft, place: KeyPath, models: dict[str, KeyPath], aliases: dict[str, KeyPath]) -> Problem:
    # As the file spells them: a name may come from the environment. Nearness counts with and without the provider.
    whole = set(draft.spelled(models))
    bare = {name.partition("/")[2] for name in whole} - {"", "*"}
    word = draft.text(place) or ""
    hint = did_you_mean(word, {*whole, *bare, *aliases}, plural="models")
    if not hint.startswith("Did you mean"):
        hint = did_you_mean(word, {*whole, *aliases}, plural="models")
    return draft.document.problem(place, f"There is no model or alias {draft.show(place)}.", hint)
