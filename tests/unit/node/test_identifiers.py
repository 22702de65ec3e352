"""Identifiers that a node makes: version 7, the time in front, the rest random."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from gateway.node.identifiers import new_uuid7


class Fixed:
    def __init__(self, octet: int) -> None:
        self._octet = octet

    def bytes(self, count: int) -> bytes:
        return bytes([self._octet]) * count

    def fraction(self) -> float:
        return 0.0


def test_an_identifier_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    for octet in (0x00, 0xFF, 0xA5):
        made = UUID(bytes=new_uuid7(0x0190_F3C2_7A00, Fixed(octet)))

        assert made.version == 7
        assert made.variant == RFC_4122
        assert made.bytes[:6].hex() == "0190f3c27a00"


def test_all_other_bits_are_random() -> None:
    zeros, ones = new_uuid7(0, Fixed(0)), new_uuid7(0, Fixed(0xFF))

    differing = int.from_bytes(zeros, "big") ^ int.from_bytes(ones, "big")
    assert differing.bit_count() == 74


def test_a_time_beyond_48_bits_does_not_spill_over() -> None:
    assert new_uuid7(1 << 48, Fixed(0))[:6] == bytes(6)
