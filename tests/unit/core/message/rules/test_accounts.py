from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import changed, verdict

WHOLE = {
    "IBAN": {"iban": "FR7699999000000000000041743"},
    "US_BANK": {"routing": "000000505", "account_masked": "****4417"},
    "CRYPTO": {
        "chain": "BTC",
        "address": "bc1psjlpgmdvady2e0qdzkq7dsmu3f9fh055c2y03ztjwzzu5vahkfhqwdzrn7",
    },
    "PAYMENT_APP": {"provider": "Specimen Pay"},
}
CATEGORIES = "/header/data_protection/categories/-"


def with_account(account: dict[str, str]) -> set[tuple[str, str]]:
    return verdict(changed("intel.spontaneous", {"/payload/accounts": [account], CATEGORIES: "FINANCIAL"}))


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_an_account_with_the_fields_of_its_kind_is_good(kind: str) -> None:
    assert with_account({"ref": "a1", "kind": kind, **WHOLE[kind]}) == set()


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in sorted(WHOLE) for field in WHOLE[kind]]
)
def test_cx_account_an_account_without_one_of_them_is_refused(kind: str, field: str) -> None:
    fields = {name: value for name, value in WHOLE[kind].items() if name != field}

    assert with_account({"ref": "a1", "kind": kind, **fields}) == {("CX-ACCOUNT", "/payload/accounts/0")}


def test_further_fields_do_no_harm() -> None:
    assert (
        with_account({"ref": "a1", "kind": "PAYMENT_APP", **WHOLE["PAYMENT_APP"], **WHOLE["IBAN"]}) == set()
    )
