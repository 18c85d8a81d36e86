"""``pii`` of a filter: which personal data it finds, and what it does about it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field

from router.config.fields import VALUE, Kind, Name, Score, Section, Text, refuse

Entity: TypeAlias = Literal[
    "PERSON",
    "ADDRESS",
    "LOCATION",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "DATE_OF_BIRTH",
    "NATIONAL_ID",
    "TAX_ID",
    "HEALTH_ID",
    "PASSPORT",
    "DRIVERS_LICENSE",
    "CREDIT_CARD",
    "IBAN",
    "BANK_ACCOUNT",
    "CRYPTO_ADDRESS",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "SECRET",
    "URL_CREDENTIALS",
]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
# A city alone is rarely anything personal; as a part of an address it is found with it.
DEFAULT_ENTITIES: tuple[Entity, ...] = tuple(entity for entity in ENTITIES if entity != "LOCATION")

PiiAction: TypeAlias = Literal["redact", "block", "annotate"]
PiiDirection: TypeAlias = Literal["input", "output", "both"]


def _check_region(value: str) -> str:
    import phonenumbers  # only here: a lot to load for those who name no country

    if value not in phonenumbers.SUPPORTED_REGIONS:
        refuse(f"{VALUE} is no country with telephone numbers.", "Write two capital letters of ISO 3166, as in `US`.")
    return value


Region = Annotated[str, AfterValidator(_check_region), Kind("country code")]


class PiiSettings(Section):
    """Personal data that a `pii` filter finds in requests and answers."""

    action: PiiAction = Field(
        default="redact",
        description="`redact` puts placeholders such as `<PERSON_1>` into requests, and the values back into answers; "
        "what an answer has of its own becomes `<PERSON>`. `block` refuses the request or ends the answer. `annotate` "
        "only says in `x-trident-pii` what was found.",
    )
    direction: PiiDirection = Field(
        default="input", description="Whether requests, answers or both are searched. Values are put back in any case."
    )
    entities: tuple[Entity, ...] = Field(
        default=DEFAULT_ENTITIES, min_length=1, description="What is looked for. Default: all but `LOCATION`."
    )
    model: Name | None = Field(
        default="pii_entities",
        description="Token classifier in the model repository that finds names and addresses; `null`: patterns only.",
    )
    min_score: Score = Field(default=0.5, description="Score from which something counts as found.")
    allow: tuple[Text, ...] = Field(
        default=(),
        max_length=1000,
        description="What is no personal data, letter case aside; `*` stands for anything, as in `*@example.com`.",
    )
    phone_regions: tuple[Region, ...] = Field(
        default=("US", "GB"), description="Countries whose telephone numbers are known without a country code."
    )
    attachments: Literal["deny", "allow"] = Field(
        default="deny",
        description="What happens to requests with images, sound or files, which cannot be searched.",
    )
    message: Text = Field(
        default="This contains personal data, which is not allowed here.",
        description="What the client reads when something is blocked.",
    )
