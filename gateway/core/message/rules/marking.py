"""MK-*: markings, their equivalence on the other side, and what may cross the link."""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import day_of_date
from gateway.core.message.rules.definition import GOOD, Facts, Pointers, Rule, frame_rule, message_rule
from gateway.core.message.rules.frame import Frame

_NEVER_ABROAD: Final = frozenset({"SPECIAL_FRANCE", "NOFORN", "FED_ONLY", "FEDCON"})
# ORCON is for classified information, which begins at CONFIDENTIAL.
_CLASSIFIED_RANK: Final = 2


@frame_rule(
    "MK-01",
    13,
    pointer="/header/marking/releasable_to",
    en="releasable_to begins with the sending nation and names the nation of every addressee, as "
    "three-letter codes. Put your own nation first and add the partner's.",
    fr="releasable_to commence par la nation émettrice et nomme celle de chaque destinataire, en codes à "
    "trois lettres. Placez votre nation en tête et ajoutez celle du partenaire.",
)
def _release_list_names_both_sides(frame: Frame) -> Pointers:
    released = frame.marking["releasable_to"]
    nations = frame.agreement.nations
    if not released or released[0] != nations[frame.nation].alpha3:
        return ("/header/marking/releasable_to",)
    for addressee in frame.to:
        if nations[addressee["nation"]].alpha3 not in released:
            return ("/header/marking/releasable_to",)
    return GOOD


@frame_rule(
    "MK-02",
    14,
    pointer="/header/marking/caveats",
    en="Information marked SPECIAL_FRANCE, NOFORN, FED_ONLY or FEDCON never crosses this link. Do not send "
    "it; ask your security officer whether it can be released at all.",
    fr="Une information marquée SPECIAL_FRANCE, NOFORN, FED_ONLY ou FEDCON ne franchit jamais cette "
    "liaison. Ne l'envoyez pas ; demandez à votre officier de sécurité si elle peut être communiquée.",
)
def _national_caveats_stay_home(frame: Frame) -> Pointers:
    caveats = frame.marking.get("caveats")
    return ("/header/marking/caveats",) if caveats and not _NEVER_ABROAD.isdisjoint(caveats) else GOOD


@frame_rule(
    "MK-03",
    15,
    pointer="/header/marking/level",
    en="The marking follows the policy of the sending nation and has one of its levels. Mark as your own "
    "rules say; the partner's equivalent goes into alternative.",
    fr="Le marquage suit la politique de la nation émettrice et porte l'un de ses niveaux. Marquez selon "
    "vos propres règles ; l'équivalent du partenaire va dans alternative.",
)
def _level_is_the_originators(frame: Frame) -> Pointers:
    return GOOD if frame.own_rank is not None else ("/header/marking/level",)


@frame_rule(
    "MK-04",
    16,
    pointer="/header/marking/level",
    en="The level is not above what this link may carry. Use another channel, or send a version marked "
    "lower.",
    fr="Le niveau ne dépasse pas ce que cette liaison peut porter. Utilisez un autre canal, ou envoyez une "
    "version de niveau inférieur.",
)
def _level_is_below_the_ceiling(frame: Frame) -> Pointers:
    rank = frame.own_rank
    return GOOD if rank is None or rank <= frame.agreement.ceiling else ("/header/marking/level",)


@frame_rule(
    "MK-05",
    17,
    pointer="/header/marking/alternative",
    en="alternative is the level of the other nation that the agreement names for this one. Leave it out in "
    "a draft and the node fills it in.",
    fr="alternative est le niveau de l'autre nation que l'accord fait correspondre à celui-ci. Omettez-le "
    "dans un projet de message : le nœud le remplira.",
)
def _alternative_is_the_agreed_one(frame: Frame) -> Pointers:
    agreement = frame.agreement
    if frame.own_rank is None or frame.own_rank > agreement.ceiling:
        return GOOD
    marking = frame.marking
    alternative = marking["alternative"]
    is_foreign = alternative["policy"] in agreement.levels and alternative["policy"] != marking["policy"]
    if is_foreign and alternative["level"] == agreement.equivalence[marking["policy"]][marking["level"]]:
        return GOOD
    return ("/header/marking/alternative",)


@frame_rule(
    "MK-06",
    18,
    pointer="/header/marking/cui_categories",
    en="CUI categories stand only beside the level CUI, in the order of the registry: those with SP- first, "
    "then the others, each in alphabetical order. Correct the level or the order, or remove them.",
    fr="Les catégories CUI n'accompagnent que le niveau CUI, dans l'ordre du registre : celles en SP- "
    "d'abord, puis les autres, par ordre alphabétique. Corrigez le niveau ou l'ordre, ou retirez-les.",
)
def _cui_categories_fit_level_and_order(frame: Frame) -> Pointers:
    marking = frame.marking
    categories = marking.get("cui_categories")
    if not categories:
        return GOOD
    ordered = sorted(categories, key=lambda category: (not category.startswith("SP-"), category))
    return (
        GOOD if marking["level"] == "CUI" and categories == ordered else ("/header/marking/cui_categories",)
    )


@message_rule(
    "MK-07",
    19,
    pointer="/header/marking/review_on",
    en="review_on, the day on which the marking is looked at again, is after the day of creation. Choose a "
    "later day.",
    fr="review_on, jour du réexamen du marquage, est postérieur au jour de création. Choisissez un jour "
    "ultérieur.",
)
def _review_is_ahead(facts: Facts) -> Pointers:
    review_on = facts.header["marking"].get("review_on")
    if review_on is None or day_of_date(review_on) > facts.created_day:
        return GOOD
    return ("/header/marking/review_on",)


@frame_rule(
    "MK-08",
    20,
    pointer="/header/marking/releasable_to",
    en="releasable_to names the two nations of the agreement and no other. Remove the third nation; onward "
    "transfer needs the originator's consent.",
    fr="releasable_to ne nomme que les deux nations de l'accord. Retirez la nation tierce ; une "
    "transmission ultérieure exige l'accord de l'émetteur.",
)
def _no_third_nation(frame: Frame) -> Pointers:
    if frame.agreement.parties.issuperset(frame.marking["releasable_to"]):
        return GOOD
    return ("/header/marking/releasable_to",)


@frame_rule(
    "MK-09",
    21,
    pointer="/header/marking/caveats",
    en="ORCON stands only on classified information, DL_ONLY only beside the level CUI. Remove the caveat "
    "or correct the level.",
    fr="ORCON ne figure que sur une information classifiée, DL_ONLY qu'avec le niveau CUI. Retirez la "
    "restriction ou corrigez le niveau.",
)
def _caveats_fit_the_level(frame: Frame) -> Pointers:
    marking = frame.marking
    caveats = marking.get("caveats")
    if not caveats:
        return GOOD
    level = marking["level"]
    orcon_is_good = "ORCON" not in caveats or frame.agreement.rank[level] >= _CLASSIFIED_RANK
    dl_only_is_good = "DL_ONLY" not in caveats or level == "CUI"
    return GOOD if orcon_is_good and dl_only_is_good else ("/header/marking/caveats",)


RULES: Final[tuple[Rule, ...]] = (
    _release_list_names_both_sides,
    _national_caveats_stay_home,
    _level_is_the_originators,
    _level_is_below_the_ceiling,
    _alternative_is_the_agreed_one,
    _cui_categories_fit_level_and_order,
    _review_is_ahead,
    _no_third_nation,
    _caveats_fit_the_level,
)
