from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

RELEASED = "/header/marking/releasable_to"
CAVEATS = "/header/marking/caveats"
LEVEL = "/header/marking/level"
ALTERNATIVE = "/header/marking/alternative"
CATEGORIES = "/header/marking/cui_categories"
REVIEW = "/header/marking/review_on"
# Sent by the United States, with the level CUI.
AMERICAN = "target.cargo_referral"


@pytest.mark.parametrize("released", [["FRA"], ["USA"], ["USA", "FRA"]])
def test_mk01_the_release_list_begins_at_home_and_names_the_receiver(released: list[str]) -> None:
    assert verdict(changed("intel.spontaneous", {RELEASED: released})) == {("MK-01", RELEASED)}


def test_the_release_list_of_each_nation_begins_with_itself() -> None:
    assert verdict(changed("intel.spontaneous", {RELEASED: ["FRA", "USA"]})) == set()
    assert verdict(changed(AMERICAN, {RELEASED: ["USA", "FRA"]})) == set()


@pytest.mark.parametrize("caveat", ["SPECIAL_FRANCE", "NOFORN", "FED_ONLY", "FEDCON"])
def test_mk02_national_caveats_stay_home(caveat: str) -> None:
    message = changed("intel.spontaneous", {CAVEATS: ["THIRD_PARTY_RULE", caveat]})

    assert verdict(message) == {("MK-02", CAVEATS)}


@pytest.mark.parametrize("caveats", [ABSENT, [], ["THIRD_PARTY_RULE"]])
def test_a_message_without_national_caveats_may_go(caveats: object) -> None:
    assert verdict(changed("intel.spontaneous", {CAVEATS: caveats})) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"/header/marking/policy": "US"},
        {LEVEL: "CUI"},
        {
            "/header/marking/policy": "US",
            LEVEL: "CUI",
            ALTERNATIVE: {"policy": "FR", "level": "DIFFUSION_RESTREINTE"},
        },
    ],
)
def test_mk03_the_marking_is_the_originators(changes: dict[str, object]) -> None:
    # MK-04 and MK-05 are not examined then.
    assert verdict(changed("intel.spontaneous", changes)) == {("MK-03", LEVEL)}


@pytest.mark.parametrize("level", ["SECRET", "TRES_SECRET"])
def test_mk04_a_level_above_the_ceiling_is_refused(level: str) -> None:
    # MK-05 is not examined then, although the alternative does not fit either.
    assert verdict(changed("intel.spontaneous", {LEVEL: level})) == {("MK-04", LEVEL)}


@pytest.mark.parametrize(
    ("level", "alternative"), [("NON_PROTEGE", "UNCLASSIFIED"), ("DIFFUSION_RESTREINTE", "CUI")]
)
def test_both_french_levels_below_the_ceiling_cross_with_their_equivalent(
    level: str, alternative: str
) -> None:
    message = changed("intel.spontaneous", {LEVEL: level, f"{ALTERNATIVE}/level": alternative})

    assert verdict(message) == set()


@pytest.mark.parametrize(
    "alternative",
    [
        {"policy": "US", "level": "UNCLASSIFIED"},
        {"policy": "FR", "level": "CUI"},
        {"policy": "FR", "level": "DIFFUSION_RESTREINTE"},
    ],
)
def test_mk05_the_alternative_is_the_agreed_one(alternative: dict[str, str]) -> None:
    assert verdict(changed("intel.spontaneous", {ALTERNATIVE: alternative})) == {("MK-05", ALTERNATIVE)}


@pytest.mark.parametrize("categories", [["SP-INV", "SP-PRVCY", "INV", "LEI"], ["LEI"], [], ABSENT])
def test_cui_categories_stand_beside_cui_in_the_order_of_the_registry(categories: object) -> None:
    assert verdict(changed(AMERICAN, {CATEGORIES: categories})) == set()


@pytest.mark.parametrize("categories", [["LEI", "SP-INV"], ["LEI", "INV"], ["SP-PRVCY", "SP-INV"]])
def test_mk06_cui_categories_out_of_order_are_refused(categories: list[str]) -> None:
    assert verdict(changed(AMERICAN, {CATEGORIES: categories})) == {("MK-06", CATEGORIES)}


def test_mk06_cui_categories_need_the_level_cui() -> None:
    assert verdict(changed("intel.spontaneous", {CATEGORIES: ["LEI"]})) == {("MK-06", CATEGORIES)}


@pytest.mark.parametrize("day", ["2026-11-02", "2026-11-01"])
def test_mk07_a_review_not_after_the_day_of_creation_is_refused(day: str) -> None:
    assert verdict(changed("intel.spontaneous", {REVIEW: day})) == {("MK-07", REVIEW)}


def test_a_review_on_the_next_day_is_good() -> None:
    assert verdict(changed("intel.spontaneous", {REVIEW: "2026-11-03"})) == set()


def test_the_day_of_creation_is_counted_in_utc() -> None:
    message = changed(
        "intel.spontaneous", {"/header/created_at": "2026-11-02T08:15:00Z", REVIEW: "2026-11-03"}
    )

    assert verdict(message) == set()


@pytest.mark.parametrize("released", [["FRA", "USA", "GBR"], ["FRA", "DEU", "USA"]])
def test_mk08_no_third_nation_is_named(released: list[str]) -> None:
    assert verdict(changed("intel.spontaneous", {RELEASED: released})) == {("MK-08", RELEASED)}


def test_mk01_and_mk08_are_reported_together() -> None:
    assert verdict(changed("intel.spontaneous", {RELEASED: ["GBR", "FRA", "USA"]})) == {
        ("MK-01", RELEASED),
        ("MK-08", RELEASED),
    }


def test_mk09_orcon_needs_classified_information() -> None:
    assert verdict(changed(AMERICAN, {CAVEATS: ["ORCON"]})) == {("MK-09", CAVEATS)}


def test_mk09_dl_only_needs_cui() -> None:
    assert verdict(changed("intel.spontaneous", {CAVEATS: ["DL_ONLY"]})) == {("MK-09", CAVEATS)}


def test_dl_only_beside_cui_is_good() -> None:
    assert verdict(changed(AMERICAN, {CAVEATS: ["DL_ONLY"]})) == set()


def test_orcon_on_classified_information_leaves_the_ceiling_alone_to_object() -> None:
    message = changed(AMERICAN, {CAVEATS: ["ORCON"], LEVEL: "CONFIDENTIAL", CATEGORIES: []})

    assert verdict(message) == {("MK-04", LEVEL)}
