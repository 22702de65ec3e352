from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.message.mrz import is_mrz

# The specimens of ICAO Doc 9303, Parts 4, 5 and 6.
TD3 = ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"]
TD2 = ["I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"]
TD1 = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
SPECIMENS = [(TD3, "L898902C3"), (TD2, "D23145890"), (TD1, "D23145890")]
# No optional data: the check position of TD3 holds a zero or a filler.
TD3_WITHOUT_OPTIONAL = [
    "P<UTOSPECIMEN<ALPHA<<TEST<UN<<<<<<<<<<<<<<<<",
    "SPEC000010UTO8002295M3105043<<<<<<<<<<<<<<00",
]


def is_good(lines: list[str], number: str, *, issuer: str = "UTO", birth_date: str | None = None) -> bool:
    return is_mrz(lines, number=number, issuer=issuer, birth_date=birth_date)


@pytest.mark.parametrize(("lines", "number"), SPECIMENS)
def test_the_specimens_of_the_standard_are_good(lines: list[str], number: str) -> None:
    assert is_good(lines, number)
    assert is_good(lines, number, birth_date="1974-08-12")


@pytest.mark.parametrize(("lines", "number"), SPECIMENS)
def test_a_zone_of_another_document_holder_or_state_is_refused(lines: list[str], number: str) -> None:
    assert not is_good(lines, number[:-1] + "9")
    assert not is_good(lines, number, issuer="FRA")
    assert not is_good(lines, number, birth_date="1974-08-13")


def positions(lines: list[str], line: int, *ranges: range) -> list[tuple[list[str], int, int]]:
    return [(lines, line, place) for places in ranges for place in places]


CHECKED = [
    *positions(TD3, 1, range(10), range(13, 20), range(21, 44)),
    *positions(TD2, 1, range(10), range(13, 20), range(21, 36)),
    *positions(TD1, 0, range(5, 30)),
    *positions(TD1, 1, range(7), range(8, 15), range(18, 30)),
]


@pytest.mark.parametrize(("lines", "line", "place"), CHECKED)
def test_one_misread_character_under_a_check_digit_is_found(lines: list[str], line: int, place: int) -> None:
    number = "L898902C3" if lines is TD3 else "D23145890"
    # Values that differ by ten, such as B and 1, are alike to the check digit.
    misread = "1" if lines[line][place] not in "1BLV" else "2"
    wrong = list(lines)
    wrong[line] = lines[line][:place] + misread + lines[line][place + 1 :]

    assert not is_good(wrong, number)


@pytest.mark.parametrize(("lines", "number"), SPECIMENS)
def test_names_sex_and_nationality_are_not_compared(lines: list[str], number: str) -> None:
    other = [line.replace("ERIKSSON<<ANNA", "SPECIMEN<<NULL").replace("F120", "M120") for line in lines]

    assert is_good(other, number)


def test_a_check_position_without_optional_data_may_hold_a_filler() -> None:
    lines = list(TD3_WITHOUT_OPTIONAL)
    assert is_good(lines, "SPEC00001")

    # The composite covers the position; filler and zero both count nothing there.
    lines[1] = lines[1][:42] + "<" + lines[1][43:]
    assert is_good(lines, "SPEC00001")


def test_a_filler_is_no_check_digit_anywhere_else() -> None:
    # With fillers for document number or dates, zero would be right, and so must be written.
    lines = ["P<UTOSPECIMEN<<TEST".ljust(44, "<"), "SPEC00001<UTO8002295M3105043".ljust(42, "<") + "00"]

    assert not is_good(lines, "SPEC00001")


def test_an_issuer_of_one_letter_is_followed_by_fillers() -> None:
    lines = [TD3[0].replace("P<UTO", "P<D<<"), TD3[1]]

    assert is_good(lines, "L898902C3", issuer="D")
    assert not is_good(lines, "L898902C3", issuer="D<<")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [TD3[0]],
        [TD3[1], TD3[0]],
        [*TD3, TD3[0]],
        [TD3[0], TD2[1]],
        [TD3[0].lower(), TD3[1]],
        [TD3[0][:-1], TD3[1]],
        TD1[:2],
        [TD3[0], TD3[1][:-1] + "é"],
    ],
)
def test_lines_of_another_shape_are_refused(lines: list[str]) -> None:
    assert not is_good(lines, "L898902C3")


@given(lines=st.lists(st.text(alphabet="A0<9é\n", min_size=30, max_size=44), max_size=4), number=st.text())
def test_any_lines_are_answered_and_none_raise(lines: list[str], number: str) -> None:
    assert is_mrz(lines, number=number, issuer="UTO", birth_date=None) in (True, False)
