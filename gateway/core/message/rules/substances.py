"""CX-PURITY, and which substances may never go on their way.

A purity is a share of a sample, so no part is more than the whole and neither are all
parts together. Fentanyls and nitazenes kill in milligrams: they are known by their CAS
number, or by the name that the sender gives them, because new ones appear faster than any
list.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final
from unicodedata import normalize

from gateway.core.message.agreement import Agreement
from gateway.core.message.rules.definition import GOOD, Facts, Json, PartCheck, Pointers, Rule
from gateway.core.message.wording import Wording

_WHOLE: Final = Decimal(100)

# carfentanil, acetylfentanyl; isotonitazene, nitazène, etonitazepyne - but not nitazoxanide.
_FENTANYL_NAME: Final = re.compile(r"fentan[iy]l|nitaze[np]")


def is_fentanyl(substance: Json, agreement: Agreement) -> bool:
    """Tell whether a substance is a fentanyl or a nitazene, by its CAS number or its name."""
    if substance["cas"] in agreement.fentanyls:
        return True
    # Accents and capitals apart: names come in both languages.
    name = normalize("NFKD", substance["name"]).encode("ascii", "ignore").decode().lower()
    return _FENTANYL_NAME.search(name) is not None


def _part_is_not_above_the_whole(substance: Json, _: str, __: Facts) -> Pointers:
    purity = substance.get("purity_pct")
    return GOOD if purity is None or Decimal(purity) <= _WHOLE else ("/purity_pct",)


def _parts_add_up_to_the_whole_at_most(facts: Facts) -> Pointers:
    total = sum(Decimal(substance.get("purity_pct", "0")) for substance in facts.payload["substances"])
    return GOOD if total <= _WHOLE else ("/payload/substances",)


_purities_are_shares = Rule(
    id="CX-PURITY",
    number=79,
    pointer="/payload/substances for the sum; …/purity_pct of a substance that alone is above 100",
    applies_to=("lab.result/1", "substance"),
    wording=Wording(
        en="A purity is at most 100 %, and the purities of a laboratory result add up to 100 % at most. "
        "Correct the percentages, or leave out what was not measured.",
        fr="Une pureté ne dépasse pas 100 %, et la somme des puretés d'un résultat de laboratoire non plus. "
        "Corrigez les pourcentages, ou omettez ce qui n'a pas été mesuré.",
    ),
    message_check=_parts_add_up_to_the_whole_at_most,
    part_checks=(PartCheck(part="substance", function=_part_is_not_above_the_whole),),
)

RULES: Final[tuple[Rule, ...]] = (_purities_are_shares,)
