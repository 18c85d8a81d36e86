"""Candidates of what stands in a text as it is: addresses, telephone numbers, identifiers, postal codes."""

from __future__ import annotations

from collections.abc import Iterator

from router.functions.extraction.candidates import Candidate, cue_of, label_after, label_before, negated
from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading

_POSTCODE_WORDS = frozenset({"postcode", "zip", "postal", "plz", "postleitzahl", "zipcode"})
_POSTCODE_TOKENS = 6
_MIN_CODE = 3


def verbatim(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """E-mail and web addresses, telephone numbers, IBANs, UUIDs, IP addresses."""
    for each in reading.literals:
        if each.kind != profile.kind:
            continue
        first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
        score = 0.9 + 0.05 * label_before(profile, reading, first)
        value = each.value
        if profile.kind == "uri" and value[:4].casefold() == "www.":
            value = f"https://{value}"
        if not negated(reading, first):
            yield Candidate(value, score, first, last)


def codes(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """Identifiers: by the example in the description, else by what stands before them."""
    if profile.pattern is not None:
        yield from _patterned(profile, reading)
        return
    for each in reading.literals:
        if each.kind in {"code", "quoted"}:
            first, last = reading.first_token(each.start), reading.first_token(each.end - 1) + 1
            named = label_before(profile, reading, first, 3) or cue_of(reading, first) in {"named", "called"}
            yield Candidate(each.value, 0.95 if named else 0.55, first, last)
    for index, token in enumerate(reading.tokens[1:], start=1):
        if (
            token.text.isupper()
            and len(token.text) >= _MIN_CODE
            and token.is_word
            and label_before(profile, reading, index, 2)
        ):
            yield Candidate(token.text, 0.9, index, index + 1)


def _patterned(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    if profile.pattern is None:
        return
    upper = profile.sample.upper() == profile.sample
    prefix = profile.sample.rstrip("0123456789").casefold()
    for match in profile.pattern.finditer(reading.text):
        first, last = reading.first_token(match.start()), reading.first_token(match.end() - 1) + 1
        alike = match[0].casefold().startswith(prefix)
        score = 0.98 if alike else 0.8
        if label_after(profile, reading, last):
            score -= 0.05
        if not negated(reading, first):
            yield Candidate(match[0].upper() if upper else match[0], score, first, last)


def postcodes(profile: Profile, reading: Reading) -> Iterator[Candidate]:
    """What has digits in it, behind a word for postcode."""
    for index in range(len(reading.tokens)):
        if _POSTCODE_WORDS.isdisjoint(reading.words_before(index, 2)) or reading.word(index) in _POSTCODE_WORDS:
            continue
        last = index
        while last < min(len(reading.tokens), index + _POSTCODE_TOKENS) and _may_be_postcode(reading, last):
            last += 1
        said = reading.said(index, last) if last > index else ""
        if any(each.isdigit() for each in said):
            yield Candidate(said, 0.95, index, last)
            return


def _may_be_postcode(reading: Reading, index: int) -> bool:
    token = reading.tokens[index]
    return token.text.isupper() or token.is_digits or token.text == "-"
