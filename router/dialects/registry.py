"""The dialects by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.dialects import anthropic_messages, bedrock_converse, openai_chat, openai_responses
from router.dialects.base import ClientDialect, ProviderDialect
from router.dialects.canonical import DialectName

CLIENT_DIALECTS: Mapping[DialectName, ClientDialect] = MappingProxyType(
    {
        openai_chat.NAME: openai_chat,
        anthropic_messages.NAME: anthropic_messages,
        openai_responses.NAME: openai_responses,
    }
)
PROVIDER_DIALECTS: Mapping[DialectName, ProviderDialect] = MappingProxyType(
    {
        openai_chat.NAME: openai_chat,
        anthropic_messages.NAME: anthropic_messages,
        openai_responses.NAME: openai_responses,
        bedrock_converse.NAME: bedrock_converse,
    }
)
