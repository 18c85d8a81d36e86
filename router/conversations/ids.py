"""Names of what is kept, and whose it is.

Ids are the gateway's own, whoever answered: a provider's would be known to that provider alone, mean nothing after a
fail-over, and might be guessed, or chosen to take another's place.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from router.context import RequestContext

_RANDOM_BYTES = 24
_RESPONSE = re.compile(r"resp_[0-9a-f]{48}")
_CONVERSATION = re.compile(r"conv_[0-9a-f]{48}")
# What stands in a path as it is, and in a key of every store.
_ITEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:=+@-]{0,255}")
_ITEM_PREFIXES: Mapping[str, str] = {
    "custom_tool_call": "ctc",
    "function_call": "fc",
    "function_call_output": "fco",
    "message": "msg",
    "reasoning": "rs",
}


def new_response_id() -> str:
    """An id that nobody can guess."""
    return f"resp_{secrets.token_hex(_RANDOM_BYTES)}"


def new_conversation_id() -> str:
    """An id that nobody can guess."""
    return f"conv_{secrets.token_hex(_RANDOM_BYTES)}"


def new_turn_id() -> str:
    """The name of a turn within its conversation."""
    return secrets.token_hex(8)


def new_item_id(item: Mapping[str, Any]) -> str:
    """An id for an item that came without one."""
    kind = item.get("type", "message")
    return f"{_ITEM_PREFIXES.get(kind, 'item') if isinstance(kind, str) else 'item'}_{secrets.token_hex(_RANDOM_BYTES)}"


def is_item_id(id_: str) -> bool:
    """Whether an item can be asked for under ``id_``: whoever made it may have written anything there."""
    return _ITEM.fullmatch(id_) is not None


def is_response_id(id_: str) -> bool:
    """Whether ``id_`` may be the id of a response that was kept."""
    return _RESPONSE.fullmatch(id_) is not None


def is_conversation_id(id_: str) -> bool:
    """Whether ``id_`` may be the id of a conversation."""
    return _CONVERSATION.fullmatch(id_) is not None


def scope_of(context: RequestContext, tenant_header: str | None) -> str:
    """Whose what is kept for a request is: its API key's and, where there is a header for it, its tenant's.

    Part of every key in the store, so that nobody can name what is another's.
    """
    tenant = None if tenant_header is None else context.headers.get(tenant_header.lower())
    identity = None if context.identity is None else context.identity.name
    return hashlib.sha256(json.dumps([identity, tenant]).encode()).hexdigest()[:32]
