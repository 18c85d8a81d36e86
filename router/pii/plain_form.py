"""One way to write what can be written in many: digits, dashes and spaces of ASCII, nothing invisible.

Recognisers look at this form. All replacements are one character for one, so that offsets stay; only where something
invisible is left out does every character have to say where it stood.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)


def _folding() -> dict[int, str]:
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # the full-width forms of ASCII
    table.update((ord(dash), "-") for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d")
    table.update(
        (ord(space), " ")
        for space in "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    )
    for code in range(128, 0x20000):  # beyond, there are no digits
        if unicodedata.category(letter := chr(code)) == "Nd":
            table[code] = str(unicodedata.digit(letter))
    return table


_FOLDED = _folding()


def plain_form(text: str) -> tuple[str, Sequence[int]]:
    """``text`` in this form, and where in ``text`` each character stood; no places where all stayed in theirs.

    Gives back ``text`` itself where it is in this form already.
    """
    if text.isascii():
        return text, ()
    if _INVISIBLE.search(text) is None:
        return text.translate(_FOLDED), ()
    places = [place for place, letter in enumerate(text) if not _INVISIBLE.match(letter)]
    return "".join([text[place] for place in places]).translate(_FOLDED), places
