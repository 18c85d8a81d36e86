"""Reading the fields of a request; what is wrong is said by the name that the client wrote."""

from __future__ import annotations

from router.dialects.fields import json_list as json_list
from router.dialects.fields import json_object as json_object
from router.dialects.fields import object_field as object_field
from router.dialects.fields import text_field as text_field
from router.dialects.fields import wrong as wrong


def number(value: object, field: str) -> int | float:
    """``value`` when it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(field, "a number")
    return value


class Notes:
    """What a translation cannot carry: ``refused`` by path, ``untranslated`` (it only advises) by name, each once."""

    __slots__ = ("_untranslated", "foreign_thinking", "refused")

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._untranslated: dict[str, None] = {}
        self.foreign_thinking = False
        """Whether the history holds reasoning that no Anthropic provider has signed."""

    def advise(self, name: str) -> None:
        """Note a field that is left out."""
        self._untranslated[name] = None

    @property
    def untranslated(self) -> tuple[str, ...]:
        return tuple(self._untranslated)
