"""DP-*: personal data is declared, justified and deleted in time.

What a payload holds is not taken from its sender's word: while the parts of a payload are
seen, each notes the categories of personal data it holds, and DP-01 and DP-02 compare.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import day_of_date
from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Json,
    PartCheck,
    Pointers,
    Rule,
    frame_rule,
    message_rule,
)
from gateway.core.message.rules.frame import Frame
from gateway.core.message.rules.purpose import holds_pnr
from gateway.core.message.wording import Wording

# A referral may rest on passenger name records for six months after they were loaded;
# then they are depersonalised (agreement of 2012, Article 8). "Six months" is 183 days.
_PNR_DAYS: Final = 183

_FOUND: Final = Wording(
    en="A person shows IDENTITY, a person's contact CONTACT (of kind IMEI, IMSI or HANDLE: COMMS_IDENTIFIER),"
    " a travel or identity document TRAVEL_DOCUMENT, an account FINANCIAL, a token PSEUDONYM, a record "
    "locator PNR.",
    fr="Une personne révèle IDENTITY, ses coordonnées CONTACT (de nature IMEI, IMSI ou HANDLE : "
    "COMMS_IDENTIFIER), un titre de voyage ou d'identité TRAVEL_DOCUMENT, un compte FINANCIAL, un jeton "
    "PSEUDONYM, une référence de dossier passager PNR.",
)
"""Which category each part of a payload shows: whoever left one out need not guess which."""

_COMMUNICATION_KINDS: Final = frozenset({"IMEI", "IMSI", "HANDLE"})


def _note_person(person: Json, _: str, facts: Facts) -> Pointers:
    facts.categories.add("IDENTITY")
    for contact in person.get("contacts", ()):
        facts.categories.add("COMMS_IDENTIFIER" if contact["kind"] in _COMMUNICATION_KINDS else "CONTACT")
    return GOOD


def _note_document(_: Json, __: str, facts: Facts) -> Pointers:
    facts.categories.add("TRAVEL_DOCUMENT")
    return GOOD


def _note_token(_: Json, __: str, facts: Facts) -> Pointers:
    facts.categories.add("PSEUDONYM")
    return GOOD


def _note_account(account: Json, _: str, facts: Facts) -> Pointers:
    if account["kind"] != "PAYMENT_APP":
        facts.categories.add("FINANCIAL")
    return GOOD


def _declared_or_absent(facts: Facts) -> Pointers:
    # Runs after all parts were seen, and before DP-02, which reads the same set.
    if "pnr_locator" in facts.payload:
        facts.categories.add("PNR")
    if facts.categories and not facts.data_protection["contains_personal_data"]:
        return ("/header/data_protection/contains_personal_data",)
    return GOOD


_personal_data_is_declared = Rule(
    id="DP-01",
    number=35,
    pointer="/header/data_protection/contains_personal_data",
    wording=Wording(
        en="Personal data in the payload is declared. Set contains_personal_data to true and name its "
        f"categories, or take the personal data out. {_FOUND.en}",
        fr="Les données personnelles du contenu sont déclarées. Mettez contains_personal_data à true et "
        f"indiquez les catégories, ou retirez ces données. {_FOUND.fr}",
    ),
    message_check=_declared_or_absent,
    part_checks=(
        PartCheck(part="person", function=_note_person),
        PartCheck(part="document", function=_note_document),
        PartCheck(part="token", function=_note_token),
        PartCheck(part="account", function=_note_account, held="in a list"),
    ),
)


@message_rule(
    "DP-02",
    36,
    pointer="/header/data_protection/categories for a category that is found and not declared, "
    "/header/data_protection when categories or subjects are empty",
    en="Every category of personal data in the payload is declared, and so are the persons concerned. Add "
    f"the missing categories or subjects. {_FOUND.en}",
    fr="Chaque catégorie de données personnelles du contenu est déclarée, ainsi que les personnes "
    f"concernées (subjects). Ajoutez les catégories ou les personnes manquantes. {_FOUND.fr}",
)
def _every_category_is_declared(facts: Facts) -> Pointers:
    protection = facts.data_protection
    if not protection["contains_personal_data"]:
        return GOOD
    pointers = []
    if not facts.categories.issubset(protection["categories"]):
        pointers.append("/header/data_protection/categories")
    if not protection["categories"] or not protection["subjects"]:
        pointers.append("/header/data_protection")
    return pointers


@frame_rule(
    "DP-03",
    37,
    pointer="/header/data_protection/safeguards",
    en="Personal data travels under the umbrella agreement. Add UMBRELLA_2016 to the safeguards.",
    fr="Les données personnelles circulent sous l'accord-cadre de 2016. Ajoutez UMBRELLA_2016 aux garanties.",
)
def _umbrella_is_named(frame: Frame) -> Pointers:
    if not frame.has_personal_data or "UMBRELLA_2016" in frame.safeguards:
        return GOOD
    return ("/header/data_protection/safeguards",)


@message_rule(
    "DP-04",
    38,
    told=lambda terms: Wording(
        en=f"This type is kept {max(1, terms.keep_days)} days at most.",
        fr=f"Ce type se conserve {max(1, terms.keep_days)} jours au plus.",
    ),
    pointer="/header/data_protection/delete_by, or /header/data_protection/review_by when it is later",
    en="Personal data has a delete_by after the day of creation and within the type's retention, and "
    "review_by is not after it. Add or correct the dates; in a draft the node fills delete_by in.",
    fr="Les données personnelles ont un delete_by postérieur au jour de création et dans la durée de "
    "conservation du type, et review_by ne lui est pas postérieur. Ajoutez ou corrigez les dates ; dans un "
    "projet, le nœud remplit delete_by.",
)
def _deletion_is_in_time(facts: Facts) -> Pointers:
    protection = facts.data_protection
    if not protection["contains_personal_data"]:
        return GOOD
    delete_by = protection.get("delete_by")
    if delete_by is None:
        return ("/header/data_protection/delete_by",)
    pointers = []
    delete_day = day_of_date(delete_by)
    if not 0 < delete_day - facts.created_day <= max(1, facts.terms.keep_days):
        pointers.append("/header/data_protection/delete_by")
    review_by = protection.get("review_by")
    if review_by is not None and day_of_date(review_by) > delete_day:
        pointers.append("/header/data_protection/review_by")
    return pointers


@frame_rule(
    "DP-05",
    39,
    pointer="/header/data_protection/special_justification",
    en="Special categories of data come with a justification. Say in special_justification why they are "
    "necessary, or take them out.",
    fr="Les catégories particulières de données sont justifiées. Expliquez dans special_justification "
    "pourquoi elles sont nécessaires, ou retirez-les.",
)
def _special_categories_are_justified(frame: Frame) -> Pointers:
    if not frame.special_categories or frame.is_justified:
        return GOOD
    return ("/header/data_protection/special_justification",)


@frame_rule(
    "DP-06",
    40,
    pointer="/header/data_protection",
    only_if=lambda terms: terms.no_personal_data,
    en="This type carries no personal data. Take it out, or use a type that may carry it.",
    fr="Ce type ne porte aucune donnée personnelle. Retirez-les, ou utilisez un type qui peut en porter.",
)
def _type_may_hold_personal_data(frame: Frame) -> Pointers:
    return ("/header/data_protection",) if frame.has_personal_data else GOOD


@message_rule(
    "DP-07",
    41,
    pointer="/header/data_protection/special_categories",
    applies_to=("target.pax_referral/1",),
    en="Passenger targeting never uses special categories of data. Take them and all that hints at them out.",
    fr="Le ciblage des voyageurs n'utilise jamais de catégories particulières de données. Retirez-les, avec "
    "tout ce qui y fait allusion.",
)
def _targeting_uses_no_special_category(facts: Facts) -> Pointers:
    if not facts.data_protection["special_categories"]:
        return GOOD
    return ("/header/data_protection/special_categories",)


@message_rule(
    "DP-08",
    42,
    pointer="/payload/pnr_loaded_on",
    applies_to=("target.pax_referral/1",),
    en="Passenger name records that were loaded more than 183 days ago are depersonalised and name nobody. "
    "Do not send them with names.",
    fr="Les données PNR chargées depuis plus de 183 jours sont dépersonnalisées et ne désignent personne. "
    "Ne les transmettez pas avec des noms.",
)
def _old_pnr_names_nobody(facts: Facts) -> Pointers:
    loaded_on = facts.payload.get("pnr_loaded_on")
    if loaded_on is None or not holds_pnr(facts) or facts.created_day - day_of_date(loaded_on) <= _PNR_DAYS:
        return GOOD
    return ("/payload/pnr_loaded_on",)


RULES: Final[tuple[Rule, ...]] = (
    _personal_data_is_declared,
    _every_category_is_declared,
    _umbrella_is_named,
    _deletion_is_in_time,
    _special_categories_are_justified,
    _type_may_hold_personal_data,
    _targeting_uses_no_special_category,
    _old_pnr_names_nobody,
)
