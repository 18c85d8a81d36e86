from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pii.findings import ENTITIES, Entity
from router.pii.redactor import DetectionPolicy, Redactor

REDACTOR = Redactor(DetectionPolicy(phone_regions=("US", "GB", "DE")))

FOUND: list[tuple[Entity, str, str]] = [
    ("EMAIL_ADDRESS", "write to anna.berg+x@mail.example.co.uk.", "anna.berg+x@mail.example.co.uk"),
    ("EMAIL_ADDRESS", "müller@exämple.de wrote", "müller@exämple.de"),
    ("PHONE_NUMBER", "ring +49 151 23456789 now", "+49 151 23456789"),
    ("PHONE_NUMBER", "or (415) 555-0132", "(415) 555-0132"),
    ("PHONE_NUMBER", "my cell: 2125550187", "2125550187"),
    ("CREDIT_CARD", "use 4111 1111 1111 1111, 12/27", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "amex 378282246310005", "378282246310005"),
    ("IBAN", "to DE89 3704 0044 0532 0130 00 today", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "gb29nwbk60161331926819", "gb29nwbk60161331926819"),
    ("BANK_ACCOUNT", "routing number 021000021", "021000021"),
    ("BANK_ACCOUNT", "account number is 12345678", "12345678"),
    ("CRYPTO_ADDRESS", "to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
    ("CRYPTO_ADDRESS", "eth 0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886E0F7030069857D2E4169EE7"),
    ("NATIONAL_ID", "472-81-0094 is mine", "472-81-0094"),
    ("NATIONAL_ID", "my social security number: 472810094", "472810094"),
    ("NATIONAL_ID", "NI AB 12 34 56 C", "AB 12 34 56 C"),
    ("NATIONAL_ID", "DNI 54362315K", "54362315K"),
    ("NATIONAL_ID", "PESEL 44051401359", "44051401359"),
    ("NATIONAL_ID", "131052-308T", "131052-308T"),
    ("TAX_ID", "cpf 390.533.447-05", "390.533.447-05"),
    ("TAX_ID", "RCCMNL83S18D969H", "RCCMNL83S18D969H"),
    ("HEALTH_ID", "NHS number 943 476 5870", "943 476 5870"),
    ("PASSPORT", "passport number X1234567", "X1234567"),
    ("DRIVERS_LICENSE", "driver's license D1234567", "D1234567"),
    ("DATE_OF_BIRTH", "born on 12 March 1985", "12 March 1985"),
    ("DATE_OF_BIRTH", "Date of birth: 1990-07-21", "1990-07-21"),
    ("IP_ADDRESS", "the server 203.0.113.45 is down", "203.0.113.45"),
    ("IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::8a2e:370:7334"),
    ("MAC_ADDRESS", "device 00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"),
    ("SECRET", "sk-proj-abcDEF123456ghiJKL789012", "sk-proj-abcDEF123456ghiJKL789012"),
    ("SECRET", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("SECRET", "the password is hunter2.", "hunter2"),
    ("SECRET", 'api_key: "9f8e7d6c5b4a39281706"', "9f8e7d6c5b4a39281706"),
    (
        "SECRET",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY----- ok",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
    ),
    ("URL_CREDENTIALS", "postgres://app:s3cr3t@db:5432/x", "app:s3cr3t"),
]


@pytest.mark.parametrize(("entity", "text", "value"), FOUND)
def test_personal_data_is_found(entity: Entity, text: str, value: str) -> None:
    [finding] = REDACTOR.find(text)
    assert (finding.entity, finding.text) == (entity, value)
    assert text[finding.start : finding.end] == value


@pytest.mark.parametrize(
    "text",
    [
        "Order number 4111111111111112 was delayed.",
        "DE89 3704 0044 0532 0130 01",
        "The ISBN is 978-3-16-148410-0.",
        "Pi is about 3.14159265358979.",
        "Invoice 2024-118273 is due on 2024-06-30 at 12:30:45",
        "The meeting was on 12 March 1985.",
        "version 10.15.7.2 fixes the bug in 10.15.7.1",
        "git clone git@github.com:example/project.git",
        'password = os.environ["DB_PASSWORD"]',
        "token: string; apiKey?: string | null",
        "the password is incorrect",
        "https://user:$PASSWORD@host/",
        "std::vector<int> v{1, 2, 3};",
        "127.0.0.1 and 0.0.0.0 and ::1",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "The UUID is 123e4567-e89b-12d3-a456-426614174000.",
        "What does a social security number look like?",
        "<EMAIL_ADDRESS_1> and <PERSON>",
        "",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert REDACTOR.find(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",  # noqa: RUF001
        "4111\u00a01111\u20111111\u00a01111",
        "41\u200b11 1111 1111 11\u2060\u200b11",
    ],
    ids=["full width", "other spaces and dashes", "invisible"],
)
def test_another_spelling_hides_nothing(text: str) -> None:
    [finding] = REDACTOR.find(f"ää {text} öö")
    assert (finding.entity, finding.text) == ("CREDIT_CARD", text)


def test_words_nearby_raise_the_score() -> None:
    [plain] = REDACTOR.find("4111 1111 1111 1111")
    [called] = REDACTOR.find("card 4111 1111 1111 1111")
    assert plain.score < called.score


def test_a_word_far_away_does_not() -> None:
    filler = "This sentence is about something else entirely. " * 3
    assert REDACTOR.find(f"my passport. {filler} X1234567") == []


def test_only_the_chosen_entities_are_found() -> None:
    redactor = Redactor(DetectionPolicy(entities=("EMAIL_ADDRESS",)))
    found = redactor.find("a@example.com, 472-81-0094, card 4111 1111 1111 1111, sk-proj-abcDEF123456ghiJKL789012")
    assert [finding.entity for finding in found] == ["EMAIL_ADDRESS"]


def test_every_entity_that_needs_no_model_has_a_case() -> None:
    assert {entity for entity, _, _ in FOUND} == set(ENTITIES) - {"PERSON", "ADDRESS", "LOCATION"}


def test_allowed_texts_are_left_alone() -> None:
    redactor = Redactor(DetectionPolicy(allow=("*@Example.com", "203.0.113.45")))
    found = redactor.find("Help@example.com or a@example.com.evil.org from 203.0.113.45")
    assert [finding.text for finding in found] == ["a@example.com.evil.org"]


def test_a_higher_bar_finds_less() -> None:
    text = "(415) 555-0132"
    assert REDACTOR.find(text)
    assert Redactor(DetectionPolicy(min_score=0.9)).find(text) == []


def test_countries_without_telephones_are_refused() -> None:
    with pytest.raises(ValueError, match="'ZZ'"):
        Redactor(DetectionPolicy(phone_regions=("US", "ZZ")))


def test_numbers_in_a_blob_are_not_looked_for_but_those_behind_it_are() -> None:
    blob = "QUJD4111111111111111" * 40
    [finding] = REDACTOR.find(f"{blob} 4111 1111 1111 1111")
    assert finding.text == "4111 1111 1111 1111"


def test_for_good_there_is_no_way_back() -> None:
    assert REDACTOR.redact("from a@example.com to b@example.com") == "from <EMAIL_ADDRESS> to <EMAIL_ADDRESS>"


PIECES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.text("0123456789 .-/+()", max_size=24),
        st.sampled_from(["@", "://", "password: ", "card ", "born ", "passport ", "\u200b", "\ud800", "İ", "½", "٣"]),
        st.sampled_from([value for _, value, _ in FOUND]),
    ),
    max_size=8,
).map("".join)


@given(PIECES)
def test_whatever_the_text_findings_are_in_it_in_order_and_apart(text: str) -> None:
    before = 0
    for finding in REDACTOR.find(text):
        assert before <= finding.start < finding.end <= len(text)
        assert finding.text == text[finding.start : finding.end]
        assert 0.5 <= finding.score <= 1.0
        before = finding.end
