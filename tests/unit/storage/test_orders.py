"""The file of orders: durable, whole, and never repaired by itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.ports import Order, OrderKind
from gateway.storage.orders import FileOrders, OrdersError

FIRST = Order(kind=OrderKind.ERASE, subject=b"a" * 16, at_ms=1)
SECOND = Order(kind=OrderKind.HOLD_CONVERSATION, subject=b"b" * 16, at_ms=2, reason="Procès n° 7")
THIRD = Order(kind=OrderKind.LIFT_CONVERSATION, subject=b"b" * 16, at_ms=3)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "orders"


async def test_nothing_is_written_before_the_first_order(place: Path) -> None:
    orders = FileOrders(place)
    await orders.record([])
    assert orders.read() == ()
    assert not place.exists()


async def test_orders_are_read_back_in_their_order_by_the_next_process(place: Path) -> None:
    orders = FileOrders(place)
    await orders.record([FIRST, SECOND])
    await orders.record([THIRD])
    assert orders.read() == FileOrders(place).read() == (FIRST, SECOND, THIRD)


async def test_the_file_is_for_its_owner_alone(place: Path) -> None:
    await FileOrders(place).record([FIRST])
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [1, 40, 90])
async def test_a_line_that_a_crash_tore_off_is_ignored_and_written_over(place: Path, torn: int) -> None:
    orders = FileOrders(place)
    await orders.record([FIRST])
    await orders.record([SECOND])
    place.write_bytes(place.read_bytes()[:-torn])

    again = FileOrders(place)
    assert again.read() == (FIRST,)
    await again.record([THIRD])

    assert FileOrders(place).read() == (FIRST, THIRD)


@pytest.mark.parametrize("at", [0, 70, 100])
async def test_a_damaged_line_is_refused(place: Path, at: int) -> None:
    await FileOrders(place).record([FIRST, SECOND])
    data = bytearray(place.read_bytes())
    data[at] ^= 1
    place.write_bytes(data)
    with pytest.raises(OrdersError, match="damaged"):
        FileOrders(place)


async def test_an_order_that_cannot_be_written_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    orders = FileOrders(tmp_path / "file" / "orders")
    with pytest.raises(OrdersError):
        await orders.record([FIRST])
    assert orders.read() == ()
