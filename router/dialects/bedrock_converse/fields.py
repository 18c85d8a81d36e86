"""Reading the fields of a canonical request; what is wrong is said by its name."""

from __future__ import annotations

from router.dialects.canonical import DialectName
from router.dialects.fields import json_list as json_list
from router.dialects.fields import json_object as json_object
from router.dialects.fields import object_field as object_field
from router.dialects.fields import text_field as text_field
from router.dialects.fields import wrong as wrong

NAME: DialectName = "bedrock_converse"


def whole_number(value: object, field: str) -> int:
    """``value`` when it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(field, "a whole number above 0")
    return value


def fraction(value: object, field: str) -> float:
    """``value`` when it is a number from 0 to 1: Bedrock takes no others, not even as temperature."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise wrong(field, f"a number from 0 to 1 for this provider ({NAME})")
    return value
