"""The dialects by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.dialects import anthropic_messages, openai_chat
from router.dialects.base import ClientDialect, ProviderDialect
from router.dialects.canonical import DialectName

CLIENT_DIALECTS: Mapping[DialectName, ClientDialect] = MappingProxyType(
    {openai_chat.NAME: openai_chat, anthropic_messages.NAME: anthropic_messages}
)
PROVIDER_DIALECTS: Mapping[DialectName, ProviderDialect] = MappingProxyType(
    {openai_chat.NAME: openai_chat, anthropic_messages.NAME: anthropic_messages}
)
