from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import changed, verdict

PARTIES = "/payload/consignment/parties"
HOLDER = {"ref": "a1", "kind": "PAYMENT_APP", "provider": "Specimen Pay", "holder": "p1"}


def test_cx_ref_a_party_that_is_not_in_the_message_is_refused() -> None:
    # The list is named, and once, however many entries lead nowhere.
    message = changed("target.cargo_referral", {PARTIES: ["o1", "o8", "o9"]})

    assert verdict(message) == {("CX-REF", PARTIES)}


@pytest.mark.parametrize("parties", [["o2", "o1"], ["v1"], []])
def test_a_name_may_be_that_of_any_part_even_one_that_comes_later(parties: list[str]) -> None:
    assert verdict(changed("target.cargo_referral", {PARTIES: parties})) == set()


def test_the_holder_of_an_account_is_in_the_message() -> None:
    assert verdict(changed("intel.spontaneous", {"/payload/accounts": [HOLDER]})) == set()


def test_cx_ref_a_holder_who_is_not_in_the_message_is_refused() -> None:
    message = changed("intel.spontaneous", {"/payload/accounts": [{**HOLDER, "holder": "p7"}]})

    assert verdict(message) == {("CX-REF", "/payload/accounts/0/holder")}


def test_an_account_may_belong_to_another_account() -> None:
    accounts = [HOLDER, {**HOLDER, "ref": "a2", "holder": "a1"}]

    assert verdict(changed("intel.spontaneous", {"/payload/accounts": accounts})) == set()


def test_two_parts_may_have_one_name() -> None:
    message = changed("target.cargo_referral", {"/payload/organisations/0/ref": "o2", PARTIES: ["o2"]})

    assert verdict(message) == set()


def transaction(source: str, target: str) -> dict[str, object]:
    return {
        "at": "2026-08-11",
        "from_account": source,
        "to_account": target,
        "amount": {"amount": "9500.00", "currency": "EUR"},
    }


def test_cx_ref_both_ends_of_a_transaction_are_in_the_message() -> None:
    payload = {
        "/payload/accounts": [HOLDER, {**HOLDER, "ref": "a2"}],
        "/payload/transactions": [transaction("a1", "a2"), transaction("a8", "a9")],
    }

    assert verdict(changed("assist.reply", payload)) == {
        ("CX-REF", "/payload/transactions/1/from_account"),
        ("CX-REF", "/payload/transactions/1/to_account"),
    }
