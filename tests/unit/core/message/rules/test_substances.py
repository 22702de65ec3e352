from __future__ import annotations

from typing import Any

import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.identifiers import is_cas_number
from gateway.core.message.rules.substances import is_fentanyl
from tests.unit.core.message.rules.samples import ABSENT, ROOT, changed, verdict

SUBSTANCES = "/payload/substances"
AGREEMENT = read_catalogue(ROOT / "schemas").agreement


def purities(*values: object) -> dict[str, object]:
    return {f"{SUBSTANCES}/{i}/purity_pct": value for i, value in enumerate(values)}


@pytest.mark.parametrize(
    "values",
    [
        ("83.5", "9.25", "7.25"),
        ("100", "0", "0.0000000000"),
        ("33.3333333333", "33.3333333333", "33.3333333334"),
        (ABSENT, ABSENT, ABSENT),
        ("100", ABSENT, ABSENT),
    ],
)
def test_the_parts_of_a_sample_may_be_all_of_it(values: tuple[object, ...]) -> None:
    assert verdict(changed("lab.result", purities(*values))) == set()


@pytest.mark.parametrize(
    "values",
    [
        ("83.5", "9.25", "7.2500000001"),
        ("33.3333333333", "33.3333333333", "33.3333333335"),
        ("99", "1.5", ABSENT),
    ],
)
def test_cx_purity_the_parts_of_a_sample_are_not_more_than_all_of_it(values: tuple[object, ...]) -> None:
    # In decimals: as binary numbers these would be rounded.
    assert verdict(changed("lab.result", purities(*values))) == {("CX-PURITY", SUBSTANCES)}


def test_cx_purity_one_part_above_the_whole_is_told_with_the_sum() -> None:
    assert verdict(changed("lab.result", purities("100.1", "0", "0"))) == {
        ("CX-PURITY", SUBSTANCES),
        ("CX-PURITY", f"{SUBSTANCES}/0/purity_pct"),
    }


@pytest.mark.parametrize(("purity", "broken"), [("100", False), ("100.00", False), ("100.01", True)])
def test_cx_purity_no_substance_of_any_message_is_purer_than_pure(purity: str, broken: bool) -> None:
    for type_name, field in (
        ("seizure.report", "/payload/items/0/substance/purity_pct"),
        ("invest.controlled_delivery_request", "/payload/goods/0/substance/purity_pct"),
    ):
        assert verdict(changed(type_name, {field: purity})) == ({("CX-PURITY", field)} if broken else set())


def test_every_substance_on_the_list_has_a_right_number() -> None:
    assert {"437-38-7", "1443-54-5", "59708-52-0"} < AGREEMENT.fentanyls
    assert all(is_cas_number(number) for number in AGREEMENT.fentanyls)


def substance(name: str, cas: str = "50-36-2") -> dict[str, Any]:
    return {"name": name, "cas": cas}


@pytest.mark.parametrize(
    "name",
    [
        "Fentanyl",
        "acetylfentanyl",
        "CARFENTANIL citrate",
        "para-fluorofentanyl, powder",
        "isotonitazene",
        "Protonitazène",
        "N-pyrrolidino etonitazene",
        "etonitazepyne",
        "étonitazépyne",
    ],
)
def test_a_fentanyl_or_nitazene_is_known_by_the_name_it_is_given(name: str) -> None:
    assert is_fentanyl(substance(name), AGREEMENT)


@pytest.mark.parametrize("name", ["cocaine", "heroin", "nitazoxanide", "fenetylline", "phenethylamine"])
def test_other_substances_are_not_taken_for_one(name: str) -> None:
    assert not is_fentanyl(substance(name), AGREEMENT)


def test_a_number_on_the_list_tells_whatever_the_name() -> None:
    assert is_fentanyl(substance("white powder", "59708-52-0"), AGREEMENT)
    assert not is_fentanyl(substance("white powder", "50-36-2"), AGREEMENT)
