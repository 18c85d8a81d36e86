"""The texts that the classifier judges: normalised, with what is hidden in them made readable. No I/O, no weights.

Training imports this file too, so that the model is served with exactly the texts it was trained on.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

# Tokens of a window, without its two special tokens, and the distance from one window to the next.
WINDOW = 254
STRIDE = 190
MAX_VIEWS = 12
MAX_DEPTH = 2
MIN_DECODED = 12

# Letters drawn like Latin ones; folded only inside words that mix scripts, so that Russian and Greek stay as they are.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝвнкмтАВЕКМНОРСТУХІЈЅԌгпαβεικνορτυχηωΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡɩʀᴀᴄᴅᴇᴊᴋᴍɴᴏᴘᴛᴜᴠᴡᴢꜱıℓ",
    "aeopcyxijshdqwbhkmtABEKMHOPCTYXIJSGrnabeiknoptuxnwABEZHIKMNOPTYXagiracdejkmnoptuvwzsil",
)
_LEET = str.maketrans("013457@$!|", "oieastasil")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef]")  # fmt: skip  # noqa: E501
_WORD = re.compile(r"\w+")
_SPACED = re.compile(r"(?<!\S)\S(?: {1,4}\S){4,}(?!\S)")
_DOTTED = re.compile(r"(?<!\S)\S(?:([.\-_*|/~])\S)(?:\1\S){3,}(?!\S)")
_LEET_WORD = re.compile(r"(?<![\w@$!|])(?=[\w@$!|]*[a-zA-Z])(?=[\w@$!|]*[013457@$!|])[\w@$!|]{3,20}")
_LEET_WORDS = 3
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{4}[ \r\n]?){4,}[A-Za-z0-9+/_-]{0,3}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x)?[0-9a-fA-F]{2}[ ,:]?){12,}(?![0-9A-Za-z])")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){3}")
_BINARY = re.compile(r"(?<![01])(?:[01]{8}[ ,]?){8,}(?![01])")
_COMMON = frozenset(
    re.findall(
        "[a-z]+",
        "the of and to in is you that it for on are as with your all this be or not have from by an what how do if "
        "ignore previous instructions system prompt rules me my no out tell without show",
    )
)


def normalise(text: str) -> str:
    """One plain reading: compatibility forms folded, nothing invisible, look-alikes and spaced letters undone."""
    text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    text = _WORD.sub(_fold_lookalikes, _INVISIBLE.sub("", text))
    return _DOTTED.sub(_join_dotted, _SPACED.sub(_join_spaced, text))


def views(text: str) -> list[str]:
    """The normalised text first, then every other reading of it: decoded parts, leetspeak, ROT13, backwards.

    At most :data:`MAX_VIEWS`; decoding is repeated :data:`MAX_DEPTH` times, so that base64 of base64 is read too.
    """
    first = normalise(text)
    found, fresh = {first: None}, [text]
    for _ in range(MAX_DEPTH):
        decoded = [part for item in fresh for part in _decoded(item)]
        fresh = [part for part in dict.fromkeys(decoded) if normalise(part) not in found]
        found.update((normalise(part), None) for part in fresh)
    found.update((reading, None) for reading in _rewritten(first))
    return list(found)[:MAX_VIEWS]


def window_starts(tokens: int, window: int, stride: int) -> range:
    """Where windows begin so that every token is in one and the last window is not a scrap."""
    return range(0, max(1, tokens - window + stride), stride) if tokens > window else range(1)


def _fold_lookalikes(word: re.Match[str]) -> str:
    letters = word.group()
    if letters.isascii():
        return letters
    latin = sum(letter.isascii() and letter.isalpha() for letter in letters)
    folded = letters.translate(_LOOKALIKES)
    mixed = 0 < latin < sum(letter.isalpha() for letter in letters) and folded.isascii()
    drawn = folded.isascii() and latin == 0 and any("ɐ" <= letter <= "ʯ" or "ᴀ" <= letter <= "ᶿ" for letter in letters)
    return folded if mixed or drawn else letters


def _join_spaced(match: re.Match[str]) -> str:
    """``i g n o r e  a l l`` to ``ignore all``: wider gaps are the spaces between words."""
    return " ".join(word.replace(" ", "") for word in re.split(" {2,}", match.group()))


def _join_dotted(match: re.Match[str]) -> str:
    """``i.g.n.o.r.e`` to ``ignore``; an underscore among the letters stands for a space."""
    letters = match.group()[::2]
    return letters.replace("_", " ") if match.group(1) != "_" else letters


def _decoded(text: str) -> Iterable[str]:
    for match in _BASE64.finditer(text):
        yield from _readable(_from_base64(match.group()))
    for match in _HEX.finditer(text):
        yield from _readable(_from_hex(match.group()))
    for match in _BINARY.finditer(text):
        bits = re.findall("[01]{8}", match.group())
        yield from _readable(bytes(int(byte, 2) for byte in bits))
    if _PERCENT.search(text):
        yield unquote(text, errors="replace")


def _rewritten(text: str) -> Iterable[str]:
    for part in dict.fromkeys((text, text.partition(":")[2])):
        plain = _common_words(part)
        for reading in (codecs.encode(part, "rot13"), part[::-1]):
            if _common_words(reading) > max(1, plain):
                yield reading
    if len(_LEET_WORD.findall(text)) >= _LEET_WORDS:
        yield _LEET_WORD.sub(lambda word: word.group().translate(_LEET), text)


def _from_base64(text: str) -> bytes:
    packed = re.sub(r"\s", "", text).rstrip("=").replace("-", "+").replace("_", "/")
    packed = packed[: len(packed) - 1] if len(packed) % 4 == 1 else packed
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except binascii.Error:
        return b""


def _from_hex(text: str) -> bytes:
    digits = re.sub(r"\\x|0x|[ ,:]", "", text)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _readable(raw: bytes) -> Iterable[str]:
    """The bytes as text, if they are text."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return
    printable = sum(letter.isprintable() or letter in "\n\t\r" for letter in text)
    letters = sum(letter.isalpha() or letter == " " for letter in text)
    if len(text) >= MIN_DECODED and printable == len(text) and letters >= 0.7 * len(text):
        yield text


def _common_words(text: str) -> int:
    return sum(word in _COMMON for word in re.findall("[a-z]+", text[:2000].lower()))
