"""Recognisers of payment cards, bank accounts and crypto addresses, by checksum where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import bitcoin, iban, luhn
from stdnum.us import rtn

from router.pii.findings import Finding
from router.pii.patterns import Pattern, words

_CARD = re.compile(r"(?<![\w.-])(?P<value>\d(?:[ -]?\d){12,18})(?![\w]|[.-]\d)")
_CARD_WORDS = words(
    *("card", "credit", "debit", "visa", "mastercard", "amex", "american express", "discover", "cc", "pan", "expires"),
    *("karte", "kreditkarte", "carte", "tarjeta", "carta", "cvv", "cvc", "kaart", "cartão"),
)
# Issuers by their first digits, with the lengths of their numbers (ISO/IEC 7812).
_ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"6011|64[4-9]|65|62|81|60|508|82"), {16, 17, 18, 19}),
    (re.compile(r"30[0-5]|309|36|38|39"), {14, 16, 17, 18, 19}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 17, 18, 19}),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[1-3]"), {12, 13, 14, 15, 16, 17, 18, 19}),
)

_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[0-9A-Za-z]{4}){2,7}(?:[ -]?[0-9A-Za-z]{1,3})?(?!\w)")
_IBAN_CHARS = (15, 34)

ACCOUNT_WORDS = words(
    *("account number", "account no", "account #", "acct", "bank account", "checking account", "savings account"),
    *("account-number", "kontonummer", "konto", "numéro de compte", "número de cuenta", "cuenta bancaria"),
)
_ACCOUNT = re.compile(r"(?<![\w.$€£/-])\d(?:[ -]?\d){6,16}(?![\w%]|[.\-/]\d)")
_ROUTING_WORDS = words("routing", "routing-number", "aba", "rtn", "transit", "sort-code", "ach")
_ROUTING = re.compile(r"(?<![\w.-])\d{9}(?![\w]|[.-]\d)")
_SORT_CODE = re.compile(r"(?<![\w.-])\d\d([ -])\d\d\1\d\d(?![\w]|[.-]\d)")

_BITCOIN = re.compile(r"(?<!\w)(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|(?:bc1|BC1)[0-9A-Za-z]{11,87})(?!\w)")
_ETHEREUM = re.compile(r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)")
# Taproot (whose checksum is a newer one), Cardano and Monero; Tron and XRP, which are less unmistakable.
_LONG_WALLET = re.compile(
    r"(?<!\w)(?:bc1p[02-9ac-hj-np-z]{58}|addr1[02-9ac-hj-np-z]{53,98}|4[0-9AB][1-9A-HJ-NP-Za-km-z]{93})(?!\w)"
)
_SHORT_WALLET = re.compile(r"(?<!\w)(?:T[1-9A-HJ-NP-Za-km-z]{33}|r[1-9A-HJ-NP-Za-km-z]{25,34})(?!\w)")
_WALLET_WORDS = words(
    "wallet", "crypto", "bitcoin", "btc", "ethereum", "eth", "monero", "tron", "usdt", "xrp", "cardano"
)


def _is_card(value: str) -> bool:
    digits = value.replace(" ", "").replace("-", "")
    if len(set(digits)) < 2 or not luhn.is_valid(digits):
        return False
    return any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)


def find_ibans(text: str, start: int, end: int) -> Iterator[Finding]:
    """International bank account numbers; words behind one look like its last groups, so shorter ends are tried."""
    for match in _IBAN.finditer(text, start, end):
        first, last = match.span()
        while last - first >= _IBAN_CHARS[0]:
            value = text[first:last]
            if iban.is_valid(value.replace("-", "")):
                yield Finding("IBAN", first, last, 0.98, value)
                break
            last = max(value.rfind(" "), value.rfind("-")) + first


CARDS = (Pattern("CREDIT_CARD", _CARD, 0.8, _CARD_WORDS, 0.98, _is_card, 12),)
BANK_ACCOUNTS = (
    Pattern("BANK_ACCOUNT", _ACCOUNT, 0.0, ACCOUNT_WORDS, 0.65, min_digits=7),
    Pattern("BANK_ACCOUNT", _ROUTING, 0.05, _ROUTING_WORDS, 0.85, rtn.is_valid, 9),
    Pattern("BANK_ACCOUNT", _SORT_CODE, 0.05, _ROUTING_WORDS, 0.75, min_digits=6),
)
WALLETS = (
    Pattern("CRYPTO_ADDRESS", _BITCOIN, 0.95, check=bitcoin.is_valid),
    Pattern("CRYPTO_ADDRESS", _ETHEREUM, 0.7, _WALLET_WORDS, 0.9),
    Pattern("CRYPTO_ADDRESS", _LONG_WALLET, 0.9),
    Pattern("CRYPTO_ADDRESS", _SHORT_WALLET, 0.2, _WALLET_WORDS, 0.85),
)
