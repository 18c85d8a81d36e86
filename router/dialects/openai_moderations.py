"""The OpenAI moderation API: texts in, categories out. Reference: https://platform.openai.com/docs/api-reference/moderations."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from router.errors import InvalidRequest

PATH = "/v1/moderations"

# Every category of the API. A classifier may know fewer; the others are told as not flagged, with a score of 0 that
# applies to no kind of input.
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
MAX_INPUTS = 256


def decode_request(body: bytes) -> tuple[str | None, list[str]]:
    """The model that is asked for, if any, and one text per result. Raises ``InvalidRequest`` that names the field."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(payload, dict):
        raise InvalidRequest("The body must be a JSON object with 'input'.")
    model = payload.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("'model' must be a string.", param="model")
    return model or None, _texts(payload.get("input"))


def _texts(given: object) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise InvalidRequest("'input' must be a string, a list of strings or a list of parts.", param="input")
    if len(given) > MAX_INPUTS:
        raise InvalidRequest(f"'input' has more than {MAX_INPUTS} entries.", param="input")
    if all(isinstance(entry, str) for entry in given):
        return given
    return ["\n".join([_part_text(index, part) for index, part in enumerate(given)])]  # parts make up one input


def _part_text(index: int, part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    if isinstance(part, dict) and part.get("type") == "image_url":
        raise InvalidRequest(
            f"'input[{index}]' is an image, which the embedded classifier cannot judge; name a provider's model.",
            param=f"input[{index}]",
        )
    raise InvalidRequest(f"'input[{index}]' must be a string or a part of type 'text'.", param=f"input[{index}]")


def encode_answer(scores: Sequence[Mapping[str, float]], thresholds: Mapping[str, float], *, model: str) -> bytes:
    """The answer: one result per text, flagged where a category's score is at or above its threshold."""
    results = [_result(each, thresholds) for each in scores]
    return orjson.dumps({"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": results})


def _result(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> Mapping[str, Any]:
    categories = {name: name in scores and scores[name] >= thresholds[name] for name in CATEGORIES}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": {name: scores.get(name, 0.0) for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] if name in scores else [] for name in CATEGORIES},
    }
