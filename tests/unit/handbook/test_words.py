from __future__ import annotations

import re

import pytest

from gateway.core.message.registry import Catalogue
from gateway.handbook.areas import AREAS
from gateway.handbook.words import WORDS, Voice, set_text


def test_both_languages_leave_the_same_places_open() -> None:
    for name, wording in WORDS.items():
        places = [sorted(re.findall(r"\{(\w*)\}", text)) for text in (wording.en, wording.fr)]
        assert places[0] == places[1], name
        assert wording.en, name
        assert wording.fr, name


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("Motif : lequel ?", "Motif\u00a0: lequel\u202f?"),
        ("Refus ; sursis !", "Refus\u202f; sursis\u202f!"),
        ("les catégories « SP- » d'abord", "les catégories «\u00a0SP-\u00a0» d’abord"),
        ("Les heures sont en UTC.", "Les heures sont en UTC."),
    ],
)
def test_french_signs_stay_with_the_word_before(plain: str, printed: str) -> None:
    assert set_text(plain, "fr") == printed


def test_english_gets_its_apostrophes_and_nothing_else() -> None:
    assert set_text("the sender's own : text", "en") == "the sender’s own : text"


def test_each_voice_knows_the_other() -> None:
    assert Voice("fr").other == Voice("en")
    assert Voice("en").other.other == Voice("en")


def test_every_type_of_the_catalogue_has_an_area(catalogue: Catalogue) -> None:
    headed = {prefix for area in AREAS for prefix in area.prefixes}

    assert {type_id.partition(".")[0] for type_id in catalogue.types} <= headed
    assert len(headed) == sum(len(area.prefixes) for area in AREAS)
