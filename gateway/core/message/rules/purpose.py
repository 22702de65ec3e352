"""PU-* and LB-*: what a message is for, and the law that allows sending it."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Pointers,
    Rule,
    Stage,
    frame_rule,
    message_rule,
)
from gateway.core.message.rules.frame import Frame
from gateway.core.message.wording import Wording

_ANY_PURPOSE: Final = "*"
_PURPOSE_OF_THE_REQUEST: Final = "="

_PURPOSES_WITHOUT_OFFENCE: Final = frozenset(
    {"CAPACITY_BUILDING", "DATA_GOVERNANCE", "STRATEGIC_ANALYSIS", "EVENT_SECURITY"}
)
# The agreement of 2012 allows passenger name records for terrorism and serious
# transnational crime only (Article 4).
_OFFENCES_FOR_PNR: Final = frozenset(
    {
        "TERRORISM",
        "NARCOTICS",
        "FENTANYL_SYNTHETICS",
        "ARMS",
        "MONEY_LAUNDERING",
        "ORGANISED_CRIME",
        "PRECURSORS",
    }
)


def holds_pnr(facts: Facts) -> bool:
    """Tell whether a passenger referral rests on passenger name records."""
    return facts.payload["data_source"] in ("PNR", "BOTH")


@frame_rule(
    "PU-01",
    28,
    pointer="/header/purpose/code",
    told=lambda terms: Wording(
        en=f"They are {', '.join(sorted(terms.purposes))}.",
        fr=f"Ce sont {', '.join(sorted(terms.purposes))}.",
    ),
    only_if=lambda terms: terms.purposes.isdisjoint((_ANY_PURPOSE, _PURPOSE_OF_THE_REQUEST)),
    en="The purpose is one that the agreement allows for this type. Choose one of the type's purposes, or "
    "the type that serves yours.",
    fr="La finalité est l'une de celles que l'accord admet pour ce type. Choisissez-en une, ou le type qui "
    "sert la vôtre.",
)
def _purpose_is_allowed(frame: Frame) -> Pointers:
    return GOOD if frame.purpose["code"] in frame.terms.purposes else ("/header/purpose/code",)


@frame_rule(
    "PU-02",
    29,
    pointer="/header/purpose/areas",
    en="At least one offence area is named, unless the purpose concerns no offence. Name the area.",
    fr="Au moins un domaine d'infraction est indiqué, sauf si la finalité ne vise aucune infraction. "
    "Indiquez le domaine.",
)
def _offence_area_is_named(frame: Frame) -> Pointers:
    purpose = frame.purpose
    return (
        GOOD
        if purpose["areas"] or purpose["code"] in _PURPOSES_WITHOUT_OFFENCE
        else ("/header/purpose/areas",)
    )


@message_rule(
    "PU-03",
    30,
    pointer="/header/purpose/areas",
    applies_to=("target.pax_referral/1",),
    en="Passenger name records serve against terrorism and serious transnational crime only. Name such an "
    "area, or leave the records out.",
    fr="Les données PNR ne servent que contre le terrorisme et la grande criminalité transnationale. "
    "Indiquez un tel domaine, ou n'utilisez pas ces données.",
)
def _pnr_serves_against_serious_crime(facts: Facts) -> Pointers:
    if not holds_pnr(facts) or not _OFFENCES_FOR_PNR.isdisjoint(facts.header["purpose"]["areas"]):
        return GOOD
    return ("/header/purpose/areas",)


_reply_keeps_the_purpose = Rule(
    id="PU-04",
    number=31,
    pointer="/header/purpose/code",
    applies_to=("reply types whose purposes contain =",),
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A reply keeps the purpose of the message that it answers. Copy the purpose from that message.",
        fr="Une réponse garde la finalité du message auquel elle répond. Reprenez celle de ce message.",
    ),
)


@frame_rule(
    "LB-01",
    32,
    pointer="/header/legal_basis",
    en="At least one legal basis allows a transfer by itself. Add the agreement or convention under which "
    "you send; a framework or a declaration does not suffice.",
    fr="Au moins une base juridique autorise à elle seule la transmission. Ajoutez l'accord ou la "
    "convention au titre duquel vous transmettez ; un accord-cadre ou une déclaration ne suffit pas.",
)
def _one_basis_allows_transfer(frame: Frame) -> Pointers:
    insufficient = frame.agreement.no_transfer_bases
    for basis in frame.legal_basis:
        if basis not in insufficient:
            return GOOD
    return ("/header/legal_basis",)


@message_rule(
    "LB-02",
    33,
    pointer="/header/legal_basis",
    applies_to=("target.pax_referral/1",),
    en="Passenger name records are sent under the PNR agreement of 2012. Add EUUS_PNR_2012, or leave the "
    "records out.",
    fr="Les données PNR sont transmises au titre de l'accord PNR de 2012. Ajoutez EUUS_PNR_2012, ou "
    "n'utilisez pas ces données.",
)
def _pnr_has_its_agreement(facts: Facts) -> Pointers:
    if not holds_pnr(facts) or "EUUS_PNR_2012" in facts.header["legal_basis"]:
        return GOOD
    return ("/header/legal_basis",)


@frame_rule(
    "LB-03",
    34,
    pointer="/header/legal_basis",
    told=lambda terms: Wording(
        en=f"It lists {', '.join(terms.legal_bases)}.", fr=f"Il énumère {', '.join(terms.legal_bases)}."
    ),
    only_if=lambda terms: bool(terms.legal_bases),
    en="A type that needs a legal basis of its own names one of them. Add one of the bases that the type "
    "lists.",
    fr="Un type qui exige une base juridique propre en cite une. Ajoutez l'une des bases que le type "
    "énumère.",
)
def _type_has_its_own_basis(frame: Frame) -> Pointers:
    named = frame.legal_basis
    return GOOD if any(basis in named for basis in frame.terms.legal_bases) else ("/header/legal_basis",)


RULES: Final[tuple[Rule, ...]] = (
    _purpose_is_allowed,
    _offence_area_is_named,
    _pnr_serves_against_serious_crime,
    _reply_keeps_the_purpose,
    _one_basis_allows_transfer,
    _pnr_has_its_agreement,
    _type_has_its_own_basis,
)
