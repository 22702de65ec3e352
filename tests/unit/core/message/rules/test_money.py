from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

ITEMS = "/payload/items"
TOTAL = "/payload/total"


def money(amount: str, currency: str = "USD") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def cash(items: list[dict[str, str]], total: dict[str, str]) -> set[tuple[str, str]]:
    listed = [{"kind": "BANKNOTES", "value": value} for value in items]
    return verdict(changed("fin.cash_movement", {ITEMS: listed, TOTAL: total}))


@pytest.mark.parametrize(
    ("items", "total"),
    [
        ([money("9500")], money("9500.00")),
        ([money("0.1"), money("0.2")], money("0.3")),
        ([money("48000.00"), money("2350")], money("50350.0")),
        ([money("0"), money("0.00")], money("0")),
        ([money("1000000", "JPY"), money("1", "JPY")], money("1000001", "JPY")),
        ([money("49999999999999.99")] * 20, money("999999999999999.80")),
    ],
)
def test_a_total_is_the_sum_of_its_items(items: list[dict[str, str]], total: dict[str, str]) -> None:
    assert cash(items, total) == set()


@pytest.mark.parametrize(
    ("items", "total"),
    [
        ([money("9500")], money("9500.01")),
        ([money("9500")], money("9499.99")),
        ([money("0.1"), money("0.2")], money("0.31")),
        ([money("1000000", "JPY"), money("1", "JPY")], money("1000000", "JPY")),
    ],
)
def test_cx_cash_a_total_that_is_not_the_sum_is_refused(
    items: list[dict[str, str]], total: dict[str, str]
) -> None:
    assert cash(items, total) == {("CX-CASH", TOTAL)}


@pytest.mark.parametrize(
    ("items", "total"),
    [
        ([money("9500"), money("9500", "EUR")], money("9500")),
        ([money("9500", "EUR"), money("9500", "EUR")], money("1")),
        ([money("9500"), money("9500")], money("1", "EUR")),
    ],
)
def test_nothing_is_added_up_across_currencies(items: list[dict[str, str]], total: dict[str, str]) -> None:
    assert cash(items, total) == set()


@pytest.mark.parametrize("total", ["2.24", "2.25", "2.250"])
def test_three_decimals_may_be_rounded_before_or_after_they_are_added(total: str) -> None:
    # The Bahraini dinar has three; each item rounds to 1.12.
    items = [money("1.125", "BHD")] * 2

    assert cash(items, money(total, "BHD")) == set()
    assert cash(items, money("2.26", "BHD")) == {("CX-CASH", TOTAL)}


# --- CX-FLOW --------------------------------------------------------------------------


def transfer(at: str, source: str = "a1", target: str = "a2") -> dict[str, Any]:
    return {"at": at, "from_account": source, "to_account": target, "amount": money("9500", "EUR")}


def flow(*transactions: dict[str, Any], **changes: Any) -> set[tuple[str, str]]:
    payload = {
        "/payload/period_from": "2026-06-01",
        "/payload/period_to": "2026-09-30",
        "/payload/transactions": list(transactions),
    }
    return verdict(changed("fin.flow_report", payload | changes))


def test_transfers_may_be_on_the_first_and_the_last_day() -> None:
    assert flow(transfer("2026-06-01"), transfer("2026-09-30")) == set()


def test_cx_flow_transfers_lie_within_the_period() -> None:
    assert flow(transfer("2026-05-31"), transfer("2026-07-01"), transfer("2026-10-01")) == {
        ("CX-FLOW", "/payload/transactions/0/at"),
        ("CX-FLOW", "/payload/transactions/2/at"),
    }


def test_cx_flow_a_transfer_is_between_two_accounts() -> None:
    assert flow(transfer("2026-07-01"), transfer("2026-07-01", "a2", "a2")) == {
        ("CX-FLOW", "/payload/transactions/1")
    }


def test_a_report_may_have_no_transfers() -> None:
    assert flow() == set()
    assert verdict(changed("fin.flow_report", {"/payload/transactions": ABSENT})) == set()


FIU = "/payload/fiu_channel"
CODES = "/header/handling/codes"
ONWARD = "/header/use/onward_transfer"


@pytest.mark.parametrize(
    ("codes", "onward", "good"),
    [
        (["H2"], "FORBIDDEN", True),
        (["H1", "H2"], "FORBIDDEN", True),
        (["H1"], "FORBIDDEN", False),
        (["H0"], "FORBIDDEN", False),
        (["H2"], "CONSENT", False),
        (["H1"], "CONSENT", False),
    ],
)
def test_cx_flow_material_of_an_fiu_stays_with_the_addressee(
    codes: list[str], onward: str, good: bool
) -> None:
    terms = {CODES: codes, ONWARD: onward}

    assert flow(**{FIU: False, **terms}) == set()
    assert flow(**{FIU: True, **terms}) == (set() if good else {("CX-FLOW", "/header/handling")})


# --- CX-MIRROR ------------------------------------------------------------------------

IMPORTER = "/payload/importer_country"


@pytest.mark.parametrize("number", [0, 1])
def test_cx_mirror_trade_is_between_two_countries(number: int) -> None:
    # Opener and answer alike. Overseas territories have codes of their own.
    assert verdict(changed("fin.trade_mirror", {IMPORTER: "GP"}, number=number)) == set()
    assert verdict(changed("fin.trade_mirror", {IMPORTER: "US"}, number=number)) == {("CX-MIRROR", IMPORTER)}
