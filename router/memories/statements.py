"""What of a message is worth remembering: what its author says about themselves, sentence by sentence.

A sentence is kept where it is in the first person ("I", "my", "we", "our", and their like in some other languages) and
states something, or where it asks to be remembered ("Remember that ..."). Not kept are questions, requests and wishes
("I want you to ...", "I'd like to book ..."), remarks about the conversation ("I don't understand"), code, quotations,
sentences that are very short or longer than a fact may be, and whatever sounds like a credential. A very long message
is a document that somebody pasted, and nothing of it is kept.
"""

from __future__ import annotations

import re

MAX_MESSAGE_CHARS = 8_000
MAX_STATEMENTS = 8  # of one message, the first ones
_SHORTEST_CHARS = 8
_FEWEST_WORDS = 3

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')]*\s+|\n+")
_LIST_MARK = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s+")
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_SPACE = re.compile(r"\s+")
# What a filter that takes personal data out of requests has put there stands for nothing in the next conversation.
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]{1,30}(?:_\d{1,6})?>")

_FIRST_PERSON = re.compile(
    r"\b(?:i|i'(?:m|ve|d|ll)|my|mine|we|we'(?:re|ve)|our|ours"
    r"|ich|mein|meine[mnrs]?|wir|unser|unsere[mnrs]?"
    r"|je|j'\w+|mon|ma|mes|nous|notre|nos"
    r"|yo|mi|mis|soy|tengo|vivo|nosotr[oa]s|nuestr[oa]s?"
    r"|io|mio|mia|miei|sono|abito|noi|nostr[oaie]"
    r"|eu|meu|minha|meus|minhas|moro|nosso|nossa"
    r"|ik|mijn|wij|onze?)\b",
    re.IGNORECASE,
)
_TO_REMEMBER = re.compile(
    r"^(?:please\s+|bitte\s+)?(?:remember|note|keep in mind|bear in mind|don't forget|merke? dir|denke? daran)"
    r"(?:\s+that|\s+this|,?\s+dass)?\s*[:,]?\s+",
    re.IGNORECASE,
)
_NOTHING_TO_KEEP = re.compile(
    r"^(?:(?:and|but|so|well|ok(?:ay)?|now|hi|hello|hey|also|then|sorry|yes|no|thanks|thank you),?\s+)*"
    r"(?:please\b|(?:can|could|would|will|should|shall|may|do|does|did|is|are)\s+(?:you|we|i|my|our)\b"
    r"|(?:what|who|where|when|why|how|which)\b|let\s+(?:me|us)\b|let's\b"
    r"|(?:tell|give|show|help|find|book|write|send|explain|make|remind)\s+(?:me|us|my|our)\b"
    r"|(?:i|we)(?:'d|\s+would)\s+(?:like|love|prefer|appreciate)\b"
    r"|(?:i|we)\s+(?:want|need|wish|have|hope|intend|plan)\s+(?:you\s+)?to\b|i\s+want\s+(?:a|an|the|some|more)\b"
    r"|(?:i|we)(?:'(?:m|re)|\s+am|\s+are|\s+was|\s+were)\s+(?:just\s+)?"
    r"(?:looking|trying|asking|wondering|curious|sorry|sure|not\s+sure|confused|afraid\s+(?:i|that)|going\s+to\s+ask)\b"
    r"|i\s+have\s+(?:a|another|one\s+more|some|two)\s+(?:quick\s+)?questions?\b"
    r"|(?:i|we)\s+(?:(?:do|did|can|could)(?:n't|\s*not)\s+)?"
    r"(?:think|guess|mean|see|hope|agree|disagree|understand|get\s+(?:it|that)|wonder|suppose|believe|know)\b"
    r"|ich\s+(?:möchte|will|hätte\s+gern|würde\s+gern|suche|brauche|verstehe|glaube|denke)\b"
    r"|je\s+(?:voudrais|veux|cherche|comprends|pense|crois)\b|(?:yo\s+)?(?:quiero|quisiera|necesito|busco|creo)\b)",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"\b(?:pass\s?(?:word|wort|code|phrase)|kennwort|mot\s+de\s+passe|contraseña|pin(?:\s+code)?|cv[vc]2?|secret"
    r"|token|(?:api|access|private|secret)[\s_-]?key|credentials?|security\s+answer|one[\s-]time\s+code)\b(?!\s+manager)"
    r"(?:\s+\S+){0,4}\s*(?:\bis\b|\bare\b|\bwas\b|\bist\b|\blautet\b|\best\b|\bes\b|=|:)",
    re.IGNORECASE,
)


def statements(text: str, *, max_chars: int) -> list[str]:
    """The sentences of a user's message that are worth remembering, each once, in their order."""
    if len(text) > MAX_MESSAGE_CHARS:
        return []
    kept: dict[str, None] = {}
    for part in _SENTENCE_END.split(_CODE.sub("\n", text.translate(_QUOTES))):
        found = _statement(part, max_chars)
        if found is not None:
            kept.setdefault(found)
    return list(kept)[:MAX_STATEMENTS]


def _statement(part: str, max_chars: int) -> str | None:
    sentence = _LIST_MARK.sub("", _SPACE.sub(" ", part).strip())
    asked = _TO_REMEMBER.match(sentence)
    said = sentence[asked.end() :] if asked else sentence
    if not _SHORTEST_CHARS <= len(said) <= max_chars or len(said.split()) < _FEWEST_WORDS:
        return None
    if sentence.endswith("?") or sentence.startswith(">") or _CREDENTIAL.search(said) or _PLACEHOLDER.search(said):
        return None
    if asked:
        return said[0].upper() + said[1:]
    return said if _FIRST_PERSON.search(said) and not _NOTHING_TO_KEEP.match(said) else None
