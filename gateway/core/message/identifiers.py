r"""Is this identifier one that its registry could have issued?

Container numbers, IMO numbers, IBANs, passports and the like carry check digits, so most
typing errors can be found without asking anyone. Each function here answers for one kind
of identifier: its shape first, then its arithmetic. Nothing is looked up: a number that
passes could exist, which does not mean that it does.

Every function takes any text whatever (another alphabet's digits, nothing at all, a
megabyte) and returns a bool; none raises. Only ASCII is accepted, because the regular
expressions name their characters instead of using classes such as ``\d``.

The arithmetic is written out here although python-stdnum knows much of it: stdnum accepts
French IBANs with a wrong RIB key, refuses every Taproot address, and raises on some
malformed container numbers. The tests compare both where stdnum is right.

Spec: docs/spec/rules.md, rules ID-*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import mul

_DIGITS = "0123456789"
_A_TO_Z = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Letters as two-digit numbers, A=10 to Z=35: how ISO 7064 reads them.
_LETTERS_AS_NUMBERS = str.maketrans({letter: str(value) for value, letter in enumerate(_A_TO_Z, 10)})
# What each digit counts, and what it counts doubled with the digits of that added up. A text
# that a regular expression accepted becomes bytes, and bytes are numbers: nothing adds faster.
_DIGIT_VALUES = bytes.maketrans(_DIGITS.encode(), bytes(range(10)))
_DOUBLED_VALUES = bytes.maketrans(_DIGITS.encode(), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def _weighted(text: str, weights: Sequence[int], values: bytes = _DIGIT_VALUES) -> int:
    """Return the sum of what characters count, each times the weight of its position.

    Args:
        text: ASCII characters that all count something.
        weights: One for each character.
        values: Translates a character to what it counts.
    """
    return sum(map(mul, text.encode().translate(values), weights))


def _is_luhn(digits: str) -> bool:
    """Tell whether the last digit is the Luhn check digit of those before it (ISO/IEC 7812-1)."""
    text = digits.encode()
    single, doubled = text[-1::-2].translate(_DIGIT_VALUES), text[-2::-2].translate(_DOUBLED_VALUES)
    return (sum(single) + sum(doubled)) % 10 == 0


def _mod97(text: str) -> int:
    """Return capitals and digits, read as one number with A=10 to Z=35, modulo 97 (ISO 7064)."""
    return int(text.translate(_LETTERS_AS_NUMBERS)) % 97


# --- Transport ------------------------------------------------------------------------

_CONTAINER = re.compile(r"[A-Z]{3}[UJZ][0-9]{7}")
# Letters count 10 upward and skip the multiples of 11.
_CONTAINER_VALUES = bytes.maketrans(
    (_DIGITS + _A_TO_Z).encode(), bytes((*range(10), *(value for value in range(10, 39) if value % 11)))
)
_CONTAINER_WEIGHTS = tuple(1 << place for place in range(10))


def is_container_number(text: str) -> bool:
    """Tell whether ``text`` is a freight container number.

    Owner code, category U, J or Z, serial number, check digit.

    Spec: ISO 6346:2022, Section 4 and Annex A.
    """
    if _CONTAINER.fullmatch(text) is None:
        return False
    return _weighted(text[:10], _CONTAINER_WEIGHTS, _CONTAINER_VALUES) % 11 % 10 == int(text[10])


_SEVEN_DIGITS = re.compile(r"[0-9]{7}")


def is_imo_number(text: str) -> bool:
    """Tell whether ``text`` is the IMO number of a ship: seven digits, without the letters IMO.

    Spec: IMO resolution A.1117(30).
    """
    return _SEVEN_DIGITS.fullmatch(text) is not None and (
        _weighted(text[:6], (7, 6, 5, 4, 3, 2)) % 10 == int(text[6])
    )


_MMSI = re.compile(r"[2-7][0-9]{8}")
_MARITIME_DIGITS = {
    "FR": frozenset({"226", "227", "228"}),
    "US": frozenset({"303", "338", "366", "367", "368", "369"}),
}


def is_mmsi(text: str, *, flag: str | None) -> bool:
    """Tell whether ``text`` is a ship station's MMSI that fits the ship's flag.

    Only the maritime identification digits of FR and US are compared; those of their
    overseas territories belong to flags of their own.

    Spec: ITU-R M.585; ITU table of maritime identification digits.
    """
    if _MMSI.fullmatch(text) is None:
        return False
    expected = _MARITIME_DIGITS.get(flag) if flag is not None else None
    return expected is None or text[:3] in expected


_AIR_WAYBILL = re.compile(r"[0-9]{3}-[0-9]{8}")


def is_air_waybill(text: str) -> bool:
    """Tell whether ``text`` is a master air waybill number, airline prefix and hyphen included.

    Spec: IATA resolution 600a.
    """
    return _AIR_WAYBILL.fullmatch(text) is not None and int(text[4:11]) % 7 == int(text[11])


_S10 = re.compile(r"[A-Z]{2}[0-9]{9}[A-Z]{2}")


def is_postal_item(text: str, *, countries: AbstractSet[str]) -> bool:
    """Tell whether ``text`` is a postal item number without spaces.

    Args:
        text: Service indicator, eight digits, check digit, country of origin.
        countries: The two-letter countries that exist.

    Spec: UPU S10-12.
    """
    if _S10.fullmatch(text) is None or text[11:] not in countries:
        return False
    check = 11 - _weighted(text[2:10], (8, 6, 4, 2, 3, 5, 9, 7)) % 11
    return {10: 0, 11: 5}.get(check, check) == int(text[10])


_FLIGHT = re.compile(r"(?:[A-Z][A-Z0-9]|[0-9][A-Z]|[A-Z]{3})[0-9]{1,4}[A-Z]?")


def is_flight_number(text: str) -> bool:
    """Tell whether ``text`` is an airline designator, one to four digits and perhaps a letter.

    Spec: IATA SSIM, Chapter 2; ICAO Doc 8585.
    """
    return _FLIGHT.fullmatch(text) is not None


_ICAO24 = re.compile(r"[0-9A-F]{6}")
_FRENCH_REGISTRATION = re.compile(r"F-")
_AMERICAN_REGISTRATION = re.compile(r"N[1-9]")


def is_icao24(text: str, *, registration: str | None) -> bool:
    """Tell whether ``text`` is a 24-bit aircraft address in the block of the registration's state.

    Only registrations of France and the United States are compared.

    Spec: ICAO Annex 10, Volume III, Chapter 9.
    """
    if _ICAO24.fullmatch(text) is None:
        return False
    if registration is None:
        return True
    if _FRENCH_REGISTRATION.match(registration):
        return 0x380000 <= int(text, 16) <= 0x3BFFFF
    if _AMERICAN_REGISTRATION.match(registration):
        return 0xA00000 <= int(text, 16) <= 0xAFFFFF
    return True


_VIN = re.compile(r"[0-9A-HJ-NPR-Z]{17}")
_VIN_VALUES = bytes.maketrans(
    (_DIGITS + "ABCDEFGHJKLMNPRSTUVWXYZ").encode(),
    bytes((*range(10), 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9)),
)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def is_vin(text: str) -> bool:
    """Tell whether ``text`` is a vehicle identification number.

    Position 9 is a check character only where the law of the maker's country demands it:
    North American makers, whose numbers begin with 1 to 5.

    Spec: ISO 3779; 49 CFR 565.15.
    """
    if _VIN.fullmatch(text) is None:
        return False
    if text[0] not in "12345":
        return True
    return "0123456789X"[_weighted(text, _VIN_WEIGHTS, _VIN_VALUES) % 11] == text[8]


_LOCODE = re.compile(r"[A-Z]{2}[A-Z2-9]{3}")


def is_locode(text: str, *, countries: AbstractSet[str]) -> bool:
    """Tell whether ``text`` has the form of a UN/LOCODE of a country that exists.

    XZ (international waters) and XK (Kosovo) are no ISO countries and are accepted.

    Spec: UNECE Recommendation 16.
    """
    return _LOCODE.fullmatch(text) is not None and (text[:2] in countries or text[:2] in ("XZ", "XK"))


# --- Money ----------------------------------------------------------------------------

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
# A-I 1-9, J-R 1-9, S-Z 2-9: how a French bank reads letters of an account number.
_RIB_DIGITS = str.maketrans(_A_TO_Z, "12345678912345678923456789")
_RIB = re.compile(r"[0-9]{10}[A-Z0-9]{11}[0-9]{2}")


def _is_rib(text: str) -> bool:
    """Tell whether the key at the end of a French bank account number is right."""
    if _RIB.fullmatch(text) is None:
        return False
    key = int(text[21:])
    account = int(text[10:21].translate(_RIB_DIGITS))
    return 1 <= key <= 97 and (89 * int(text[:5]) + 15 * int(text[5:10]) + 3 * account + key) % 97 == 0


def is_iban(text: str, *, lengths: Mapping[str, int]) -> bool:
    """Tell whether ``text`` is an IBAN, and for FR whether the RIB key inside is right.

    Args:
        text: Without spaces.
        lengths: Total length for each country that has IBANs.

    Spec: ISO 13616-1; ISO/IEC 7064 MOD 97-10; CFONB, "Relevé d'identité bancaire".
    """
    if _IBAN.fullmatch(text) is None or lengths.get(text[:2]) != len(text):
        return False
    return _mod97(text[4:] + text[:4]) == 1 and (text[:2] != "FR" or _is_rib(text[4:]))


_BIC = re.compile(r"[A-Z0-9]{4}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?")


def is_bic(text: str, *, countries: AbstractSet[str]) -> bool:
    """Tell whether ``text`` has the form of a BIC of a country that exists, or of XK.

    Spec: ISO 9362:2022.
    """
    match = _BIC.fullmatch(text)
    return match is not None and (match[1] in countries or match[1] == "XK")


_NINE_DIGITS = re.compile(r"[0-9]{9}")


def is_aba_routing(text: str) -> bool:
    """Tell whether ``text`` is an American bank's routing number.

    Spec: American Bankers Association, "Routing Number Policy".
    """
    return _NINE_DIGITS.fullmatch(text) is not None and (
        _weighted(text, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0
    )


def count_decimals(amount: str) -> int:
    """Return how many digits stand after the point of a decimal string; trailing zeros count."""
    _, _, decimals = amount.partition(".")
    return len(decimals)


# --- Organisations --------------------------------------------------------------------

_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")


def is_lei(text: str) -> bool:
    """Tell whether ``text`` is a legal entity identifier.

    Spec: ISO 17442-1; ISO/IEC 7064 MOD 97-10.
    """
    return _LEI.fullmatch(text) is not None and _mod97(text) == 1


def is_siren(text: str) -> bool:
    """Tell whether ``text`` is the SIREN of a French company: nine digits with a Luhn check.

    Spec: INSEE, répertoire Sirene.
    """
    return _NINE_DIGITS.fullmatch(text) is not None and _is_luhn(text)


_FOURTEEN_DIGITS = re.compile(r"[0-9]{14}")
_LA_POSTE = "356000000"
_LA_POSTE_HEAD_OFFICE = "35600000000048"


def is_siret(text: str) -> bool:
    """Tell whether ``text`` is the SIRET of a French establishment.

    La Poste ran out of numbers with a Luhn check: the digits of its establishments, but
    for the head office, add up to a multiple of 5.

    Spec: INSEE, répertoire Sirene.
    """
    if _FOURTEEN_DIGITS.fullmatch(text) is None or not _is_luhn(text[:9]):
        return False
    if text[:9] == _LA_POSTE and text != _LA_POSTE_HEAD_OFFICE:
        return sum(map(int, text)) % 5 == 0
    return _is_luhn(text)


_EORI = re.compile(r"[A-Z]{2}[A-Z0-9]{1,15}")


def is_eori(text: str, *, countries: AbstractSet[str]) -> bool:
    """Tell whether ``text`` is an economic operator's number in the European Union.

    Args:
        text: Country and up to 15 characters; after FR a SIRET.
        countries: Member states. XI (Northern Ireland) is accepted besides.

    Spec: Implementing Regulation (EU) 2015/2447, Annex B, data element 3/1.
    """
    if _EORI.fullmatch(text) is None or (text[:2] not in countries and text[:2] != "XI"):
        return False
    return text[:2] != "FR" or is_siret(text[2:])


_VAT = re.compile(r"[A-Z]{2}[A-Z0-9]{2,12}")
_FRENCH_VAT = re.compile(r"FR[A-Z0-9]{2}[0-9]{9}")


def is_vat_number(text: str) -> bool:
    """Tell whether ``text`` has the form of a VAT number, and for FR whether SIREN and key fit.

    A French key that holds a letter is of the newer kind and is not computed.

    Spec: Council Directive 2006/112/EC, Article 215; Code général des impôts, article 286 ter.
    """
    if not text.startswith("FR"):
        return _VAT.fullmatch(text) is not None
    if _FRENCH_VAT.fullmatch(text) is None or not is_siren(text[4:]):
        return False
    key = text[2:4]
    return not key.isdigit() or int(key) == (12 + 3 * (int(text[4:]) % 97)) % 97


_EIN = re.compile(r"[0-9]{2}-[0-9]{7}")


def is_ein(text: str) -> bool:
    """Tell whether ``text`` has the form of an American employer identification number."""
    return _EIN.fullmatch(text) is not None


_SCAC = re.compile(r"[A-Z]{2,4}")


def is_scac(text: str) -> bool:
    """Tell whether ``text`` has the form of a standard carrier alpha code."""
    return _SCAC.fullmatch(text) is not None


def is_duns(text: str) -> bool:
    """Tell whether ``text`` has the form of a D-U-N-S number: nine digits."""
    return _NINE_DIGITS.fullmatch(text) is not None


# --- Goods ----------------------------------------------------------------------------

_CAS = re.compile(r"([1-9][0-9]{1,6})-([0-9]{2})-([0-9])")


def is_cas_number(text: str) -> bool:
    """Tell whether ``text`` is the CAS registry number of a substance.

    Spec: CAS, "Check digit verification of CAS registry numbers".
    """
    match = _CAS.fullmatch(text)
    if match is None:
        return False
    digits = match[1] + match[2]
    return sum(int(digit) * weight for weight, digit in enumerate(reversed(digits), 1)) % 10 == int(match[3])


_HS = re.compile(r"([0-9]{2})(?:[0-9]{4}|[0-9]{6}|[0-9]{8})")


def is_hs_code(text: str) -> bool:
    """Tell whether ``text`` is a goods code of six, eight or ten digits in a chapter that exists.

    Chapter 77 is reserved and empty.

    Spec: WCO Harmonized System 2022.
    """
    match = _HS.fullmatch(text)
    return match is not None and 1 <= int(match[1]) <= 97 and match[1] != "77"


# --- States and persons ---------------------------------------------------------------

_UNITED_NATIONS = ("UNO", "UNA", "UNK")
_BRITISH_STATUSES = ("GBD", "GBN", "GBO", "GBP", "GBS")
_STATELESS_AND_REFUGEES = ("XXA", "XXB", "XXC", "XXX")
_ORGANISATIONS = ("EUE", "XBA", "XCC", "XCE", "XCO", "XDC", "XEC", "XES", "XIM", "XMP", "XOM", "XPO")
ICAO_STATES = frozenset(
    # D is Germany, RKS Kosovo, and UTO the Utopia of specimens.
    ("D", "RKS", "UTO", *_UNITED_NATIONS, *_BRITISH_STATUSES, *_STATELESS_AND_REFUGEES, *_ORGANISATIONS)
)
"""Issuers and nationalities that ICAO 9303 knows besides the three-letter codes of ISO 3166."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_FRENCH_PHONE = re.compile(r"\+33[0-9]{9}")
_NORTH_AMERICAN_PHONE = re.compile(r"\+1[2-9][0-9]{2}[2-9][0-9]{6}")


def is_e164(text: str) -> bool:
    """Tell whether ``text`` is an international phone number, with the plus and without spaces.

    Numbers of France (+33) and of North America (+1) also have their countries' shape.

    Spec: ITU-T E.164; North American Numbering Plan.
    """
    if _E164.fullmatch(text) is None:
        return False
    if text.startswith("+33"):
        return _FRENCH_PHONE.fullmatch(text) is not None
    if text.startswith("+1"):
        return _NORTH_AMERICAN_PHONE.fullmatch(text) is not None
    return True


_FIFTEEN_DIGITS = re.compile(r"[0-9]{15}")


def is_imei(text: str) -> bool:
    """Tell whether ``text`` is the IMEI of a telephone: fifteen digits with a Luhn check.

    Spec: 3GPP TS 23.003, Section 6.2 and Annex B.
    """
    return _FIFTEEN_DIGITS.fullmatch(text) is not None and _is_luhn(text)
