"""ID-*: identifiers have the shape and the check digit of their kind.

The arithmetic is in `gateway.core.message.identifiers`; here stands what it is applied to:
every value of a format of ``schemas/formats/``, or the value of a part that says itself
what kind of identifier it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gateway.core.message import identifiers
from gateway.core.message.crypto_addresses import is_crypto_address
from gateway.core.message.mrz import is_mrz
from gateway.core.message.rules.accounts import has_fields_of_its_kind
from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    FormatCheck,
    Json,
    PartCheck,
    Pointers,
    Rule,
    coded_rule,
    format_rule,
    part_rule,
)
from gateway.core.message.wording import Wording

_KEPT: Final = 8_192
"""Verdicts on values of one kind that are kept."""

# --- Transport ------------------------------------------------------------------------

_containers = format_rule(
    "ID-ISO6346",
    43,
    format_name="container_number",
    is_good=lambda value, _part, _facts: identifiers.is_container_number(value),
    pointer="pointer of the container number",
    en="A container number is three letters, U, J or Z, and seven digits, of which the last is the check "
    "digit (ISO 6346). Compare it with the paper or the box.",
    fr="Un numéro de conteneur compte trois lettres, U, J ou Z, puis sept chiffres dont le dernier est la "
    "clé (ISO 6346). Comparez-le au document ou au conteneur.",
)

_imo_numbers = format_rule(
    "ID-IMO",
    44,
    format_name="imo",
    is_good=lambda value, _part, _facts: identifiers.is_imo_number(value),
    pointer="pointer of the imo field",
    en="An IMO number is seven digits, of which the last is the check digit. Compare it with the ship's "
    "papers.",
    fr="Un numéro OMI compte sept chiffres, dont le dernier est la clé. Comparez-le aux papiers du navire.",
)

_mmsis = format_rule(
    "ID-MMSI",
    45,
    format_name="mmsi",
    is_good=lambda value, part, _facts: identifiers.is_mmsi(value, flag=part.get("flag")),
    pointer="pointer of the mmsi field",
    en="An MMSI is nine digits beginning with 2 to 7; under flag FR its first three are 226, 227 or 228, "
    "under flag US 303, 338 or 366 to 369. Correct the MMSI or the flag.",
    fr="Un MMSI compte neuf chiffres et commence par 2 à 7 ; sous pavillon FR, ses trois premiers sont 226, "
    "227 ou 228, sous pavillon US 303, 338 ou 366 à 369. Corrigez le MMSI ou le pavillon.",
)

_air_waybills = coded_rule(
    "ID-AWB",
    46,
    part="transport_doc",
    code_field="kind",
    code="MAWB",
    value_field="number",
    is_good=lambda value, _part, _facts: identifiers.is_air_waybill(value),
    en="A master air waybill is three digits, a hyphen and eight digits, of which the last is the first "
    "seven modulo 7. Compare it with the document, or correct its kind.",
    fr="Une lettre de transport aérien (MAWB) compte trois chiffres, un trait d'union et huit chiffres, "
    "dont le dernier est le reste des sept premiers divisés par 7. Comparez-la au document, ou corrigez sa "
    "nature.",
)

_postal_items = coded_rule(
    "ID-S10",
    47,
    part="transport_doc",
    code_field="kind",
    code="S10",
    value_field="number",
    is_good=lambda value, _part, facts: identifiers.is_postal_item(value, countries=facts.agreement.iso2),
    en="A postal item number is two letters, eight digits, a check digit and the letters of a country, "
    "without spaces (UPU S10). Compare it with the label.",
    fr="Un numéro d'envoi postal compte deux lettres, huit chiffres, une clé et les lettres d'un pays, sans "
    "espaces (UPU S10). Comparez-le à l'étiquette.",
)

_flights = format_rule(
    "ID-FLIGHT",
    48,
    format_name="flight_number",
    is_good=lambda value, _part, _facts: identifiers.is_flight_number(value),
    pointer="pointer of the flight number",
    en="A flight number is an airline's designator of two or three characters, not all digits, one to four "
    "digits and perhaps a letter. Write it as on the timetable, without spaces.",
    fr="Un numéro de vol compte l'indicatif de la compagnie (deux ou trois caractères, pas que des "
    "chiffres), un à quatre chiffres et éventuellement une lettre. Écrivez-le comme à l'horaire, sans "
    "espaces.",
)


@part_rule(
    "ID-ICAO24",
    49,
    applies_to=("conveyance",),
    pointer="pointer of the icao24 field",
    en="A 24-bit aircraft address is six capital hexadecimal digits, and lies in the block of the state "
    "where the aircraft is registered: 380000 to 3BFFFF for F-, A00000 to AFFFFF for N and a digit. Correct "
    "the address or the registration.",
    fr="L'adresse 24 bits d'un aéronef compte six chiffres hexadécimaux majuscules et appartient au bloc de "
    "son État d'immatriculation : 380000 à 3BFFFF pour F-, A00000 à AFFFFF pour N et un chiffre. Corrigez "
    "l'adresse ou l'immatriculation.",
)
def _icao_addresses(conveyance: Json, _: str, __: Facts) -> Pointers:
    address = conveyance.get("icao24")
    if address is None or identifiers.is_icao24(address, registration=conveyance.get("registration")):
        return GOOD
    return ("/icao24",)


_vins = format_rule(
    "ID-VIN",
    50,
    format_name="vin",
    is_good=lambda value, _part, _facts: identifiers.is_vin(value),
    pointer="pointer of the vin field",
    en="A vehicle identification number is seventeen characters without I, O and Q; if it begins with 1 to "
    "5 the ninth is a check character. Compare it with the plate on the vehicle.",
    fr="Un numéro d'identification de véhicule compte dix-sept caractères sans I, O ni Q ; s'il commence "
    "par 1 à 5, le neuvième est une clé. Comparez-le à la plaque du véhicule.",
)

# --- Travel documents -----------------------------------------------------------------


def _is_full_date(text: str | None) -> bool:
    return text is not None and len(text) == len("YYYY-MM-DD")


def _documents_of_a_person(person: Json, _: str, __: Facts) -> Pointers:
    documents = person.get("documents")
    if documents is None:
        return GOOD
    dob = person.get("dob")
    birth_date = dob if _is_full_date(dob) else None
    return [
        f"/documents/{i}/mrz"
        for i, document in enumerate(documents)
        if "mrz" in document
        and not is_mrz(
            document["mrz"], number=document["number"], issuer=document["issuer"], birth_date=birth_date
        )
    ]


_machine_readable_zones = Rule(
    id="ID-MRZ",
    number=51,
    pointer="pointer of the mrz field",
    applies_to=("document",),
    wording=Wording(
        en="The lines of a machine-readable zone have right check digits and belong to this document and "
        "its holder: number, issuing state and birth date agree. Read the zone again, or correct the fields.",
        fr="Les lignes de la zone de lecture automatique ont des clés justes et concernent ce document et "
        "son titulaire : numéro, État émetteur et date de naissance concordent. Relisez la zone, ou "
        "corrigez les champs.",
    ),
    # Only a Person holds documents, and the zone is compared with its holder's birth date.
    part_checks=(PartCheck(part="person", function=_documents_of_a_person),),
)

# --- Money ----------------------------------------------------------------------------

_ibans = format_rule(
    "ID-IBAN",
    52,
    format_name="iban",
    is_good=lambda value, _part, facts: identifiers.is_iban(value, lengths=facts.agreement.iban_len),
    pointer="pointer of the iban field",
    en="An IBAN has its country's length and right check digits, in France also the RIB key. Write it "
    "without spaces and compare it with the bank's paper.",
    fr="Un IBAN a la longueur de son pays et des clés justes, en France aussi la clé RIB. Écrivez-le sans "
    "espaces et comparez-le au relevé de la banque.",
)

_bics = format_rule(
    "ID-BIC",
    53,
    format_name="bic",
    is_good=lambda value, _part, facts: identifiers.is_bic(value, countries=facts.agreement.iso2),
    pointer="pointer of the bic field",
    en="A BIC is eight or eleven capitals and digits, of which the fifth and sixth name a country. Compare "
    "it with the bank's paper.",
    fr="Un BIC compte huit ou onze majuscules et chiffres, dont le cinquième et le sixième désignent un "
    "pays. Comparez-le au relevé de la banque.",
)

_routing_numbers = format_rule(
    "ID-ABA",
    54,
    format_name="aba_routing",
    is_good=lambda value, _part, _facts: identifiers.is_aba_routing(value),
    pointer="pointer of the routing field",
    en="An American routing number is nine digits, of which the last is the check digit. Compare it with "
    "the cheque or the bank's paper.",
    fr="Un numéro d'acheminement américain compte neuf chiffres, dont le dernier est la clé. Comparez-le au "
    "chèque ou au relevé de la banque.",
)

# --- Goods and places -----------------------------------------------------------------

# The same places, goods and substances come again and again, as short texts that their schema bounds.
_is_locode: Final = lru_cache(maxsize=_KEPT)(
    lambda value, countries: identifiers.is_locode(value, countries=countries)
)
_is_hs_code: Final = lru_cache(maxsize=_KEPT)(identifiers.is_hs_code)
_is_cas_number: Final = lru_cache(maxsize=_KEPT)(identifiers.is_cas_number)

_cas_numbers = format_rule(
    "ID-CAS",
    63,
    format_name="cas",
    is_good=lambda value, _part, _facts: _is_cas_number(value),
    pointer="pointer of the cas field",
    en="A CAS number is two to seven digits, two digits and a check digit, with hyphens between them. Look "
    "the substance up.",
    fr="Un numéro CAS compte deux à sept chiffres, deux chiffres et une clé, séparés par des traits "
    "d'union. Recherchez la substance.",
)

_hs_codes = format_rule(
    "ID-HS",
    64,
    format_name="hs_code",
    is_good=lambda value, _part, _facts: _is_hs_code(value),
    pointer="pointer of the code (…/hs, or …/hs_codes/{i} in a list)",
    en="A goods code is six, eight or ten digits in chapters 01 to 97 but 77. Look it up in the tariff.",
    fr="Un code de marchandise compte six, huit ou dix chiffres, des chapitres 01 à 97 sauf 77. "
    "Recherchez-le au tarif.",
)

_locodes = format_rule(
    "ID-LOCODE",
    65,
    format_name="unlocode",
    is_good=lambda value, _part, facts: _is_locode(value, facts.agreement.iso2),
    pointer="pointer of the code, with /{i} in a list",
    en="A UN/LOCODE is the letters of a country, or XZ or XK, and three characters of A to Z and 2 to 9. "
    "Look the place up; overseas territories have letters of their own.",
    fr="Un code UN/LOCODE compte les lettres d'un pays, ou XZ ou XK, et trois caractères de A à Z et de 2 à "
    "9. Recherchez le lieu ; les territoires d'outre-mer ont leurs propres lettres.",
)


def _is_alpha2(value: str, _: Json, facts: Facts) -> bool:
    return value in facts.agreement.iso2


def _is_alpha3(value: str, _: Json, facts: Facts) -> bool:
    return value in facts.agreement.iso3 or value in identifiers.ICAO_STATES


_countries = Rule(
    id="ID-ISO3166",
    number=66,
    pointer="pointer of the country, with /{i} in a list",
    applies_to=("country", "state"),
    wording=Wording(
        en="A country is an ISO 3166 code of two letters; on a travel document it is the code of three "
        "letters that the document shows. The United Kingdom is GB.",
        fr="Un pays est un code ISO 3166 à deux lettres ; sur un document de voyage, le code à trois "
        "lettres que porte le document. Le Royaume-Uni est GB.",
    ),
    format_checks=(
        FormatCheck(format="country", is_good=_is_alpha2),
        FormatCheck(format="state", is_good=_is_alpha3),
    ),
)


@part_rule(
    "ID-ISO4217",
    67,
    applies_to=("money",),
    pointer="…/currency for an unknown currency; the Money object itself for too many decimals",
    en="A currency is an ISO 4217 code in use, and an amount has at most the decimals of its currency. "
    "Correct the code, or round the amount.",
    fr="Une monnaie est un code ISO 4217 en usage, et un montant a au plus les décimales de sa monnaie. "
    "Corrigez le code, ou arrondissez le montant.",
)
def _amounts_fit_their_currency(money: Json, _: str, facts: Facts) -> Pointers:
    decimals = facts.agreement.currency.get(money["currency"])
    if decimals is None:
        return ("/currency",)
    return GOOD if identifiers.count_decimals(money["amount"]) <= decimals else ("",)


_phones = coded_rule(
    "ID-E164",
    68,
    part="contact",
    code_field="kind",
    code="PHONE",
    value_field="value",
    is_good=lambda value, _part, _facts: identifiers.is_e164(value),
    en="A phone number begins with a plus sign and the country, and has 7 to 15 digits without spaces; "
    "French numbers have nine digits after +33, North American ten after +1. Write it in international form.",
    fr="Un numéro de téléphone commence par le signe plus et le pays, et compte 7 à 15 chiffres sans "
    "espaces ; un numéro français en a neuf après +33, un numéro nord-américain dix après +1. Écrivez-le "
    "sous forme internationale.",
)

_imeis = coded_rule(
    "ID-IMEI",
    69,
    part="contact",
    code_field="kind",
    code="IMEI",
    value_field="value",
    is_good=lambda value, _part, _facts: identifiers.is_imei(value),
    en="An IMEI is fifteen digits, of which the last is the check digit. Read it again on the telephone "
    "(*#06#).",
    fr="Un IMEI compte quinze chiffres, dont le dernier est la clé. Relisez-le sur le téléphone (*#06#).",
)


@part_rule(
    "ID-CRYPTO",
    70,
    applies_to=("account",),
    pointer="pointer of the address (…/{i}/address)",
    en="A crypto-asset address has the form and the checksum of its chain; capitals matter. Copy it again, "
    "or correct the chain.",
    fr="Une adresse de crypto-actif a la forme et la somme de contrôle de sa chaîne ; les majuscules "
    "comptent. Recopiez-la, ou corrigez la chaîne.",
)
def _addresses_have_their_checksum(account: Json, _: str, __: Facts) -> Pointers:
    if account["kind"] != "CRYPTO" or not has_fields_of_its_kind(account):
        return GOOD
    is_good = is_crypto_address(account["address"], chain=account["chain"])
    return GOOD if is_good else ("/address",)


_dates = Rule(
    id="ID-DATE",
    number=71,
    pointer="pointer of the date",
    # The schema asserts the format, so this rule never shows: SCHEMA does.
    wording=Wording(
        en="A date is a day of the calendar. Correct the day or the month.",
        fr="Une date est un jour du calendrier. Corrigez le jour ou le mois.",
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    _containers,
    _imo_numbers,
    _mmsis,
    _air_waybills,
    _postal_items,
    _flights,
    _icao_addresses,
    _vins,
    _machine_readable_zones,
    _ibans,
    _bics,
    _routing_numbers,
    _cas_numbers,
    _hs_codes,
    _locodes,
    _countries,
    _amounts_fit_their_currency,
    _phones,
    _imeis,
    _addresses_have_their_checksum,
    _dates,
)
