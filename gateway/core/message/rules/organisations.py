"""ID-LEI to ID-DUNS: identifiers of an organisation, each by the scheme it names."""

from __future__ import annotations

from typing import Final

from gateway.core.message import identifiers
from gateway.core.message.rules.definition import Rule, ValueTest, coded_rule


def _organisation_rule(
    rule_id: str, number: int, *, scheme: str, is_good: ValueTest, en: str, fr: str
) -> Rule:
    return coded_rule(
        rule_id,
        number,
        part="org_id",
        code_field="scheme",
        code=scheme,
        value_field="value",
        is_good=is_good,
        en=en,
        fr=fr,
    )


_leis = _organisation_rule(
    "ID-LEI",
    55,
    scheme="LEI",
    is_good=lambda value, _part, _facts: identifiers.is_lei(value),
    en="A legal entity identifier is eighteen capitals and digits and two check digits (ISO 17442). Look it "
    "up in the public register.",
    fr="Un identifiant d'entité juridique compte dix-huit majuscules et chiffres, puis deux clés (ISO "
    "17442). Vérifiez-le au registre public.",
)

_eoris = _organisation_rule(
    "ID-EORI",
    56,
    scheme="EORI",
    is_good=lambda value, _part, facts: identifiers.is_eori(value, countries=facts.agreement.eu),
    en="An EORI number is the letters of a member state, or XI, and up to fifteen capitals and digits; "
    "after FR a valid SIRET. Compare it with the declaration.",
    fr="Un numéro EORI compte les lettres d'un État membre, ou XI, et jusqu'à quinze majuscules et chiffres "
    "; après FR, un SIRET valable. Comparez-le à la déclaration.",
)

_sirens = _organisation_rule(
    "ID-SIREN",
    57,
    scheme="SIREN",
    is_good=lambda value, _part, _facts: identifiers.is_siren(value),
    en="A SIREN is nine digits, of which the last is the check digit. Look it up in the Sirene register.",
    fr="Un SIREN compte neuf chiffres, dont le dernier est la clé. Vérifiez-le au répertoire Sirene.",
)

_sirets = _organisation_rule(
    "ID-SIRET",
    58,
    scheme="SIRET",
    is_good=lambda value, _part, _facts: identifiers.is_siret(value),
    en="A SIRET is a SIREN and five digits, of which the last is the check digit. Look it up in the Sirene "
    "register.",
    fr="Un SIRET compte un SIREN et cinq chiffres, dont le dernier est la clé. Vérifiez-le au répertoire "
    "Sirene.",
)

_vat_numbers = _organisation_rule(
    "ID-VAT",
    59,
    scheme="VAT",
    is_good=lambda value, _part, _facts: identifiers.is_vat_number(value),
    en="A VAT number is the letters of a country and 2 to 12 capitals and digits; after FR a key and the "
    "SIREN that it fits. Compare it with the invoice.",
    fr="Un numéro de TVA compte les lettres d'un pays et 2 à 12 majuscules et chiffres ; après FR, une clé "
    "et le SIREN auquel elle convient. Comparez-le à la facture.",
)

_eins = _organisation_rule(
    "ID-EIN",
    60,
    scheme="EIN",
    is_good=lambda value, _part, _facts: identifiers.is_ein(value),
    en="An American employer identification number is two digits, a hyphen and seven digits. Correct its "
    "form.",
    fr="Un EIN américain compte deux chiffres, un trait d'union et sept chiffres. Corrigez sa forme.",
)

_scacs = _organisation_rule(
    "ID-SCAC",
    61,
    scheme="SCAC",
    is_good=lambda value, _part, _facts: identifiers.is_scac(value),
    en="A carrier code (SCAC) is two to four capitals. Correct its form.",
    fr="Un code de transporteur (SCAC) compte deux à quatre majuscules. Corrigez sa forme.",
)

_duns = _organisation_rule(
    "ID-DUNS",
    62,
    scheme="DUNS",
    is_good=lambda value, _part, _facts: identifiers.is_duns(value),
    en="A D-U-N-S number is nine digits. Correct its form.",
    fr="Un numéro D-U-N-S compte neuf chiffres. Corrigez sa forme.",
)

RULES: Final[tuple[Rule, ...]] = (
    _leis,
    _eoris,
    _sirens,
    _sirets,
    _vat_numbers,
    _eins,
    _scacs,
    _duns,
)
