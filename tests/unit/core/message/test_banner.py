from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.banner import banner, equivalent


def french(level: str = "DIFFUSION_RESTREINTE", **more: Any) -> dict[str, Any]:
    other = read_catalogue().agreement.equivalence["FR"][level]
    return {
        "policy": "FR",
        "level": level,
        "alternative": {"policy": "US", "level": other},
        "releasable_to": ["FRA", "USA"],
        **more,
    }


def american(level: str = "CUI", **more: Any) -> dict[str, Any]:
    other = read_catalogue().agreement.equivalence["US"][level]
    return {
        "policy": "US",
        "level": level,
        "alternative": {"policy": "FR", "level": other},
        "releasable_to": ["USA", "FRA"],
        **more,
    }


def test_an_american_banner_has_categories_and_controls_between_double_slashes() -> None:
    assert banner(american(cui_categories=["INV", "LEI"])) == "CUI//INV/LEI//REL TO USA, FRA"


def test_specified_categories_come_first_each_group_by_the_alphabet() -> None:
    marking = american(cui_categories=["LEI", "SP-TAX", "INV", "SP-INV"])

    assert banner(marking) == "CUI//SP-INV/SP-TAX/INV/LEI//REL TO USA, FRA"


@pytest.mark.parametrize("more", [{}, {"cui_categories": []}])
def test_a_banner_without_categories_leaves_no_empty_place(more: dict[str, Any]) -> None:
    assert banner(american(**more)) == "CUI//REL TO USA, FRA"


def test_the_american_release_list_begins_with_usa() -> None:
    assert banner(american(releasable_to=["FRA", "USA"])) == "CUI//REL TO USA, FRA"


def test_dissemination_controls_stand_together_and_the_third_party_rule_apart() -> None:
    marking = american(caveats=["THIRD_PARTY_RULE", "DL_ONLY"], cui_categories=["LEI"])

    assert banner(marking) == "CUI//LEI//DL ONLY/REL TO USA, FRA//THIRD PARTY RULE"


def test_a_french_banner_has_the_release_list_after_the_mention() -> None:
    assert banner(french()) == "DIFFUSION RESTREINTE – COMMUNICABLE À FRA, USA"
    assert (
        banner(french(caveats=["THIRD_PARTY_RULE"]))
        == "DIFFUSION RESTREINTE – COMMUNICABLE À FRA, USA – RÈGLE DU TIERS SERVICE"
    )


@pytest.mark.parametrize(
    ("marking", "expected"),
    [
        (french("NON_PROTEGE"), "NON PROTÉGÉ"),
        (american("UNCLASSIFIED"), "UNCLASSIFIED"),
        (american("UNCLASSIFIED", caveats=["THIRD_PARTY_RULE"]), "UNCLASSIFIED//THIRD PARTY RULE"),
    ],
)
def test_a_level_that_protects_nothing_names_nobody(marking: dict[str, Any], expected: str) -> None:
    assert banner(marking) == expected


@pytest.mark.parametrize(
    ("marking", "expected"),
    [
        (french("SECRET"), "SECRET – COMMUNICABLE À FRA, USA"),
        (french("TRES_SECRET"), "TRÈS SECRET – COMMUNICABLE À FRA, USA"),
        (american("CONFIDENTIAL"), "CONFIDENTIAL//REL TO USA, FRA"),
        (american("TOP_SECRET", caveats=["ORCON"]), "TOP SECRET//ORCON/REL TO USA, FRA"),
    ],
)
def test_levels_above_the_ceiling_of_this_link_have_banners_too(
    marking: dict[str, Any], expected: str
) -> None:
    """What is shown may be a message that was refused for its level."""
    assert banner(marking) == expected


def test_categories_are_those_of_cui_only() -> None:
    assert banner(american("SECRET", cui_categories=["LEI"])) == "SECRET//REL TO USA, FRA"


def test_labels_of_indicators_stand_last_and_replace_nothing() -> None:
    labels = {"tlp": "AMBER+STRICT", "pap": "GREEN"}

    assert banner(american(**labels)) == "CUI//REL TO USA, FRA//TLP:AMBER+STRICT//PAP:GREEN"
    assert banner(french(tlp="RED")).endswith(" – TLP:RED")


@pytest.mark.parametrize(
    ("marking", "expected"),
    [
        (french(), "CUI"),
        (french("NON_PROTEGE"), "UNCLASSIFIED"),
        (american(), "DIFFUSION RESTREINTE"),
        (american("TOP_SECRET"), "TRÈS SECRET"),
    ],
)
def test_the_other_nation_reads_its_own_level(marking: dict[str, Any], expected: str) -> None:
    assert equivalent(marking) == expected


def test_every_level_and_caveat_of_the_catalogue_has_words_without_underscores() -> None:
    caveats = json.loads((catalogue_folder() / "codes" / "caveat.json").read_text("utf-8"))["enum"]
    for policy, levels in read_catalogue().agreement.levels.items():
        for level in levels:
            draw = french if policy == "FR" else american
            assert "_" not in banner(draw(level, caveats=caveats)) + equivalent(draw(level))
