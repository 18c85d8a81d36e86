"""Bedrock entries completed from the environment variables that all tools of AWS read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.config.document import Document
from router.config.draft import Draft
from router.config.known_providers import BEDROCK, interface_of, region_of

_KEY_PARTS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def complete_bedrock(document: Document, variables: Mapping[str, str]) -> None:
    """Fill in what Bedrock entries of ``document`` leave out: their region, and one kind of credentials.

    A key of the file always wins, and a file that names any credentials gets no others. Reference:
    https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html, and for the API key
    https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
    """
    draft = Draft(document)
    for path in draft.entries(("model_providers",)):
        entry: dict[str, Any] = draft.get(path)
        provider = (draft.text((*path, "model")) or "").partition("/")[0]
        if interface_of(provider, draft.text((*path, "provider_interface"))) != BEDROCK:
            continue
        region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
        if region and "region" not in entry and region_of(draft.text((*path, "base_url"))) is None:
            entry["region"] = region
        if not draft.flag((*path, "passthrough_auth")) and not entry.keys() & {"access_key", *_KEY_PARTS}:
            entry.update(_credentials(variables))


def _credentials(variables: Mapping[str, str]) -> dict[str, str]:
    if api_key := variables.get("AWS_BEARER_TOKEN_BEDROCK"):
        return {"access_key": api_key}
    found = {key: value for key in _KEY_PARTS if (value := variables.get(key.upper()))}
    return found if found.keys() >= {"aws_access_key_id", "aws_secret_access_key"} else {}
