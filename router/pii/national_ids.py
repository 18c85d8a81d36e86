"""Recognisers of the numbers that states give to people: a table of formats, checked by python-stdnum.

``score`` says how telling format and checksum are: nine digits with a check digit are in every tenth order number, a
letter computed from eight digits is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum.at import vnr
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ch_ssn
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.ee import ik
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs, utr
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.il import idnr as il_idnr
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.my import nric
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import cc, nif
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.th import pin
from stdnum.tr import tckimlik
from stdnum.us import ein, itin, ssn
from stdnum.za import idnr as za_idnr

from router.pii.findings import Entity
from router.pii.patterns import Pattern, words

_ID_WORDS = (
    *("national id", "identity number", "id number", "identity card", "id card", "personal number", "social security"),
    *("ssn", "national insurance", "citizen", "personal id", "identification number", "id no", "id-nr", "ausweis"),
)
_TAX_WORDS = ("tax", "taxpayer", "tin", "tax id", "tax number", "steuer", "steuer-id", "fiscal", "fiscale", "impôt")


def _is_nino(value: str) -> bool:
    """The rules for the prefix of a British National Insurance number, which has no checksum."""
    prefix = value[:2].upper()
    return (
        not set(prefix) & set("DFIQUV")
        and prefix[1] != "O"
        and prefix not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}
    )


def _number(
    entity: Entity, form: str, score: float, context: tuple[str, ...], check: Callable[[str], bool], min_digits: int = 7
) -> Pattern:
    """A row of the table: ``form`` is the expression between boundaries; ``context`` adds to the general words."""
    general = _TAX_WORDS if entity == "TAX_ID" else _ID_WORDS
    regex = re.compile(rf"(?<![\w.-])(?P<value>{form})(?![\w]|[.-]\w)", re.IGNORECASE)
    return Pattern(entity, regex, score, words(*general, *context), 0.95 if score >= 0.5 else 0.8, check, min_digits)


NATIONAL_IDS: tuple[Pattern, ...] = (
    # United States, Canada
    _number("NATIONAL_ID", r"\d{3}-\d{2}-\d{4}", 0.85, ("social",), ssn.is_valid),
    _number("NATIONAL_ID", r"\d{3} ?\d{2} ?\d{4}", 0.05, ("social",), ssn.is_valid),
    _number("TAX_ID", r"9\d{2}-\d{2}-\d{4}", 0.85, ("itin",), itin.is_valid),
    _number("TAX_ID", r"\d{2}-\d{7}", 0.2, ("ein", "employer"), ein.is_valid),
    _number("NATIONAL_ID", r"\d{3}[ -]\d{3}[ -]\d{3}", 0.3, ("sin", "social insurance"), sin.is_valid),
    _number("NATIONAL_ID", r"\d{9}", 0.05, ("sin", "social insurance"), sin.is_valid),
    # British Isles
    _number("NATIONAL_ID", r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", 0.7, ("ni", "nino", "ni number"), _is_nino, 6),
    _number("HEALTH_ID", r"\d{3}[ -]?\d{3}[ -]?\d{4}", 0.1, ("nhs", "patient", "medical record"), nhs.is_valid),
    _number("TAX_ID", r"\d{10}", 0.05, ("utr", "hmrc", "self assessment"), utr.is_valid),
    _number("NATIONAL_ID", r"\d{7}[A-W][A-IW]?", 0.65, ("pps", "ppsn"), pps.is_valid),
    # Western and southern Europe
    _number("TAX_ID", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", 0.2, ("idnr", "steueridentifikationsnummer"), idnr.is_valid),
    _number(
        "NATIONAL_ID", r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", 0.8, ("sécu", "nir"), nir.is_valid
    ),
    _number("NATIONAL_ID", r"\d{8}[ -]?[A-Z]", 0.75, ("dni", "nif"), dni.is_valid),
    _number("NATIONAL_ID", r"[XYZ][ -]?\d{7}[ -]?[A-Z]", 0.85, ("nie",), nie.is_valid),
    _number("TAX_ID", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", 0.95, ("codice",), codicefiscale.is_valid),
    _number("NATIONAL_ID", r"\d{8} ?\d ?[A-Z0-9]{2}\d", 0.3, ("cartão de cidadão",), cc.is_valid),
    _number("TAX_ID", r"\d{3} ?\d{3} ?\d{3}", 0.05, ("nif", "contribuinte"), nif.is_valid),
    _number("NATIONAL_ID", r"\d{8,9}", 0.05, ("bsn", "burgerservicenummer", "sofinummer"), bsn.is_valid),
    _number("NATIONAL_ID", r"\d{2}\.\d{2}\.\d{2}[ -]\d{3}\.\d{2}", 0.9, ("rijksregister",), nn.is_valid),
    _number("NATIONAL_ID", r"756\.?\d{4}\.?\d{4}\.?\d{2}", 0.8, ("ahv", "avs"), ch_ssn.is_valid),
    _number("NATIONAL_ID", r"\d{4} ?\d{6}", 0.1, ("sozialversicherung", "svnr"), vnr.is_valid),
    _number("NATIONAL_ID", r"\d{11}", 0.1, ("amka",), amka.is_valid),
    # Northern Europe
    _number("NATIONAL_ID", r"(?:19|20)?\d{6}[+-]\d{4}", 0.7, ("personnummer",), personnummer.is_valid),
    _number("NATIONAL_ID", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", 0.85, ("hetu", "henkilötunnus"), hetu.is_valid),
    _number("NATIONAL_ID", r"\d{6} ?\d{5}", 0.3, ("fødselsnummer", "personnummer"), fodselsnummer.is_valid),
    _number("NATIONAL_ID", r"\d{6}-\d{4}", 0.4, ("cpr", "personnummer"), cpr.is_valid),
    _number("NATIONAL_ID", r"\d{11}", 0.1, ("isikukood", "asmens kodas"), ik.is_valid),
    # Eastern Europe
    _number("NATIONAL_ID", r"\d{11}", 0.2, ("pesel",), pesel.is_valid),
    _number("NATIONAL_ID", r"\d{6}/\d{3,4}", 0.6, ("rodné číslo", "rodné"), rc.is_valid),
    _number("NATIONAL_ID", r"\d{13}", 0.3, ("cnp",), cnp.is_valid),
    _number("NATIONAL_ID", r"\d{11}", 0.1, ("oib",), oib.is_valid),
    _number("NATIONAL_ID", r"\d{10}", 0.1, ("egn", "егн"), egn.is_valid),
    # Latin America
    _number("TAX_ID", r"\d{3}\.\d{3}\.\d{3}-\d{2}", 0.9, ("cpf",), cpf.is_valid),
    _number("TAX_ID", r"\d{11}", 0.1, ("cpf",), cpf.is_valid),
    _number("NATIONAL_ID", r"\d{1,2}\.?\d{3}\.?\d{3}-[0-9K]", 0.75, ("rut", "run"), rut.is_valid),
    _number("NATIONAL_ID", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d", 0.95, ("curp",), curp.is_valid, 6),
    # Asia, Africa, Australia
    _number("NATIONAL_ID", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", 0.4, ("aadhaar", "aadhar", "uidai"), aadhaar.is_valid),
    _number("TAX_ID", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", 0.7, ("pan", "pan card"), pan.is_valid, 4),
    _number("NATIONAL_ID", r"\d{17}[0-9X]", 0.9, ("身份证",), ric.is_valid),
    _number("NATIONAL_ID", r"\d{6}-[1-8]\d{6}", 0.85, ("주민등록번호",), rrn.is_valid),
    _number("NATIONAL_ID", r"\d{6}-\d{2}-\d{4}", 0.8, ("nric", "mykad"), nric.is_valid),
    _number("NATIONAL_ID", r"\d-?\d{4}-?\d{5}-?\d{2}-?\d", 0.3, ("thai id",), pin.is_valid),
    _number("NATIONAL_ID", r"\d{9}", 0.05, ("teudat zehut",), il_idnr.is_valid),
    _number("NATIONAL_ID", r"[1-9]\d{10}", 0.2, ("kimlik", "tckn", "tc kimlik"), tckimlik.is_valid),
    _number("NATIONAL_ID", r"\d{13}", 0.3, ("south african",), za_idnr.is_valid),
    _number("TAX_ID", r"\d{3} ?\d{3} ?\d{2,3}", 0.05, ("tfn",), tfn.is_valid),
)

# Numbers without a checksum that anybody could make out by the words in front of them only.
_PASSPORT = re.compile(r"(?<![\w.-])(?=[A-Z]{0,3}\d)[A-Z0-9]{6,9}(?![\w]|[.-]\w)")
_LICENCE = re.compile(r"(?<![\w.-])(?=[A-Z0-9-]{0,6}\d)[A-Z0-9][A-Z0-9-]{5,18}(?![\w]|[.-]\w)")

_PASSPORT_WORDS = ("passport", "passport-number", "reisepass", "passeport", "pasaporte", "passaporto", "paspoort")
_LICENCE_WORDS = (
    *(
        "driver's license",
        "drivers license",
        "driving licence",
        "driving license",
        "driver license",
        "driver's licence",
    ),
    *("driver\u2019s license", "licence number", "license number", "führerschein", "permis de conduire"),
)
ID_WORDS = words(*_ID_WORDS, *_TAX_WORDS, *_PASSPORT_WORDS, *_LICENCE_WORDS)

DOCUMENTS: tuple[Pattern, ...] = (
    Pattern("PASSPORT", _PASSPORT, 0.0, words(*_PASSPORT_WORDS), 0.75),
    Pattern("DRIVERS_LICENSE", _LICENCE, 0.0, words(*_LICENCE_WORDS), 0.75),
)
