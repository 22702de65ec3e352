"""HD-* and EV-*: how the receiver may use a message, and how far to trust it."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import GOOD, Pointers, Rule, frame_rule
from gateway.core.message.rules.frame import Frame


@frame_rule(
    "HD-01",
    22,
    pointer="/header/handling/codes",
    en="H0 (only against crime, without other restriction) stands neither with H1 nor with H2. Remove H0, or "
    "H1 and H2.",
    fr="H0 (uniquement contre la criminalité, sans autre restriction) ne se combine ni avec H1 ni avec H2. "
    "Retirez H0, ou H1 et H2.",
)
def _free_use_excludes_restrictions(frame: Frame) -> Pointers:
    codes = frame.codes
    return ("/header/handling/codes",) if "H0" in codes and ("H1" in codes or "H2" in codes) else GOOD


@frame_rule(
    "HD-02",
    23,
    pointer="/header/handling/conditions",
    en="H3 comes with the conditions in words, and conditions come with H3. Write the conditions, or add H3.",
    fr="H3 s'accompagne des conditions en toutes lettres, et réciproquement. Rédigez les conditions, ou "
    "ajoutez H3.",
)
def _conditions_come_with_h3(frame: Frame) -> Pointers:
    return GOOD if frame.has_conditions == ("H3" in frame.codes) else ("/header/handling/conditions",)


@frame_rule(
    "HD-03",
    24,
    pointer="/header/use/evidence",
    en="With H1 the information is no evidence in court without permission. Set use.evidence to NO or "
    "CONSENT.",
    fr="Avec H1, l'information ne sert pas de preuve en justice sans autorisation. Mettez use.evidence à NO "
    "ou CONSENT.",
)
def _h1_is_no_free_evidence(frame: Frame) -> Pointers:
    return ("/header/use/evidence",) if frame.use["evidence"] == "YES" and "H1" in frame.codes else GOOD


@frame_rule(
    "HD-04",
    25,
    pointer="/header/use/dissemination",
    en="With H2 only the addressee may have the information. Set use.dissemination to ADDRESSEE_ONLY.",
    fr="Avec H2, seul le destinataire peut détenir l'information. Mettez use.dissemination à ADDRESSEE_ONLY.",
)
def _h2_is_for_the_addressee_only(frame: Frame) -> Pointers:
    if frame.use["dissemination"] == "ADDRESSEE_ONLY" or "H2" not in frame.codes:
        return GOOD
    return ("/header/use/dissemination",)


@frame_rule(
    "EV-01",
    26,
    pointer="/header/evaluation",
    only_if=lambda terms: terms.evaluation,
    en="This type carries an evaluation of source and information. Add header.evaluation.",
    fr="Ce type porte une évaluation de la source et de l'information. Ajoutez header.evaluation.",
)
def _evaluation_is_there(frame: Frame) -> Pointers:
    return GOOD if frame.evaluation is not None else ("/header/evaluation",)


_SCHEMES: Final = {
    "EU4X4": (frozenset("ABCX"), frozenset("1234")),
    "ADMIRALTY": (frozenset("ABCDEF"), frozenset("123456")),
}


@frame_rule(
    "EV-02",
    27,
    pointer="/header/evaluation",
    en="The grade exists in the scheme: EU4X4 has sources A, B, C, X and information 1 to 4; ADMIRALTY has "
    "A to F and 1 to 6. Correct the grade or the scheme.",
    fr="La cotation existe dans le système indiqué : EU4X4 admet les sources A, B, C, X et l'information de "
    "1 à 4 ; ADMIRALTY admet A à F et 1 à 6. Corrigez la cotation ou le système.",
)
def _grade_exists_in_its_scheme(frame: Frame) -> Pointers:
    evaluation = frame.evaluation
    if evaluation is None:
        return GOOD
    sources, grades = _SCHEMES[evaluation["scheme"]]
    return (
        GOOD
        if evaluation["source"] in sources and evaluation["information"] in grades
        else ("/header/evaluation",)
    )


RULES: Final[tuple[Rule, ...]] = (
    _free_use_excludes_restrictions,
    _conditions_come_with_h3,
    _h1_is_no_free_evidence,
    _h2_is_for_the_addressee_only,
    _evaluation_is_there,
    _grade_exists_in_its_scheme,
)
