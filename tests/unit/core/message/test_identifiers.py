"""In-tree check digits against published examples and against python-stdnum where that is right."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import casrn, imei, imo, iso6346, lei, luhn
from stdnum import iban as stdnum_iban
from stdnum.fr import siren, siret, tva
from stdnum.us import rtn

from gateway.catalogue import read_catalogue
from gateway.core.message import identifiers

AGREEMENT = read_catalogue().agreement
COUNTRIES = AGREEMENT.iso2
LENGTHS = AGREEMENT.iban_len
DIGITS = string.digits
CAPITALS = string.ascii_uppercase
ROUNDS = 3_000


def draw(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choice(alphabet) for _ in range(length))


def compare(
    ours: Callable[[str], bool], theirs: Callable[[str], bool], make: Callable[[random.Random], str]
) -> None:
    """Ask both about the same random values, of which a good part has to be right."""
    chance = random.Random(6346)  # noqa: S311 - values to try, nothing secret
    values = [make(chance) for _ in range(ROUNDS)]
    good = [value for value in values if ours(value)]

    assert [value for value in values if ours(value) != theirs(value)] == []
    assert 20 < len(good) < ROUNDS - 20


# --- Against stdnum -------------------------------------------------------------------


def test_containers_agree_with_stdnum() -> None:
    compare(
        identifiers.is_container_number,
        iso6346.is_valid,
        lambda chance: draw(chance, CAPITALS, 3) + chance.choice("UJZ") + draw(chance, DIGITS, 7),
    )


def test_ships_agree_with_stdnum() -> None:
    compare(identifiers.is_imo_number, imo.is_valid, lambda chance: draw(chance, DIGITS, 7))


def test_legal_entities_agree_with_stdnum() -> None:
    compare(
        identifiers.is_lei,
        lei.is_valid,
        lambda chance: draw(chance, DIGITS + CAPITALS, 18) + draw(chance, DIGITS, 2),
    )


def make_siren(chance: random.Random) -> str:
    body = draw(chance, DIGITS, 8)
    return body + str(luhn.calc_check_digit(body))


def test_companies_agree_with_stdnum() -> None:
    compare(identifiers.is_siren, siren.is_valid, lambda chance: draw(chance, DIGITS, 9))


def test_establishments_agree_with_stdnum() -> None:
    compare(identifiers.is_siret, siret.is_valid, lambda chance: make_siren(chance) + draw(chance, DIGITS, 5))


def test_establishments_of_the_post_agree_with_stdnum() -> None:
    compare(identifiers.is_siret, siret.is_valid, lambda chance: "356000000" + draw(chance, DIGITS, 5))


def make_french_vat(chance: random.Random) -> str:
    company = make_siren(chance)
    key = (12 + 3 * (int(company) % 97)) % 97 if chance.random() < 0.5 else chance.randrange(100)
    return f"FR{key:02d}{company}"


def test_french_vat_agrees_with_stdnum() -> None:
    compare(identifiers.is_vat_number, tva.is_valid, make_french_vat)


def test_american_banks_agree_with_stdnum() -> None:
    compare(identifiers.is_aba_routing, rtn.is_valid, lambda chance: draw(chance, DIGITS, 9))


def test_telephones_agree_with_stdnum() -> None:
    compare(identifiers.is_imei, imei.is_valid, lambda chance: draw(chance, DIGITS, 15))


def make_cas(chance: random.Random) -> str:
    head = chance.choice("123456789") + draw(chance, DIGITS, chance.randint(1, 6))
    return f"{head}-{draw(chance, DIGITS, 2)}-{draw(chance, DIGITS, 1)}"


def test_substances_agree_with_stdnum() -> None:
    compare(identifiers.is_cas_number, casrn.is_valid, make_cas)


def make_iban(country: str, account: str, chance: random.Random, *, slips: float) -> str:
    number = "".join(str((DIGITS + CAPITALS).index(character)) for character in account + country + "00")
    check = f"{98 - int(number) % 97:02d}"
    return country + (draw(chance, DIGITS, 2) if chance.random() < slips else check) + account


def test_german_accounts_agree_with_stdnum() -> None:
    compare(
        lambda value: identifiers.is_iban(value, lengths=LENGTHS),
        lambda value: bool(stdnum_iban.is_valid(value, check_country=False)),
        lambda chance: make_iban("DE", draw(chance, DIGITS, 18), chance, slips=0.3),
    )


def test_a_french_account_with_a_wrong_rib_key_is_refused_although_stdnum_takes_it() -> None:
    chance = random.Random(97)  # noqa: S311 - values to try, nothing secret
    refused = 0
    for _ in range(ROUNDS):
        bank, branch, account = draw(chance, DIGITS, 5), draw(chance, DIGITS, 5), draw(chance, DIGITS, 11)
        key = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(account)) % 97
        right = make_iban("FR", f"{bank}{branch}{account}{key:02d}", chance, slips=0)
        wrong = make_iban("FR", f"{bank}{branch}{account}{key % 97 + 1:02d}", chance, slips=0)
        assert identifiers.is_iban(right, lengths=LENGTHS)
        assert not identifiers.is_iban(wrong, lengths=LENGTHS)
        refused += bool(stdnum_iban.is_valid(wrong))

    assert refused == ROUNDS


# --- Published examples, and one slip -------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("CSQU3054383", True),  # ISO 6346, the standard's example
        ("CSQU3054382", False),
        ("CSQR3054383", False),  # R is no category of freight containers
        ("csqu3054383", False),
        ("CSQU305438", False),
        ("CSQU 305438 3", False),
        ("1SQU3054383", False),  # stdnum raises ValueError here
    ],
)
def test_containers(number: str, expected: bool) -> None:
    assert identifiers.is_container_number(number) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("9074729", True), ("9074728", False), ("907472", False), ("IMO9074729", False)],
)
def test_ships(number: str, expected: bool) -> None:
    assert identifiers.is_imo_number(number) is expected


@pytest.mark.parametrize(
    ("number", "flag", "expected"),
    [
        ("226000001", "FR", True),
        ("227000001", "FR", True),
        ("228000001", "FR", True),
        ("229000001", "FR", False),
        ("225000001", "FR", False),
        ("303000001", "US", True),
        ("338000001", "US", True),
        ("366000001", "US", True),
        ("369000001", "US", True),
        ("365000001", "US", False),
        ("370000001", "US", False),
        ("347000001", "MQ", True),
        ("366000001", None, True),
        ("200000000", "PA", True),
        ("799999999", None, True),
        ("199999999", None, False),
        ("800000000", None, False),
        ("22600000", "FR", False),
    ],
)
def test_ship_stations(number: str, flag: str | None, expected: bool) -> None:
    assert identifiers.is_mmsi(number, flag=flag) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("057-12345675", True), ("057-12345674", False), ("057 12345675", False), ("057-1234567", False)],
)
def test_air_waybills(number: str, expected: bool) -> None:
    assert identifiers.is_air_waybill(number) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("RR473124829FI", True),  # UPU S10-12, the standard's example
        ("RR473124828FI", False),
        ("RR 47312482 9 FI", False),
        ("RR473124829ZZ", False),
        ("RR473124829F", False),
    ],
)
def test_postal_items(number: str, expected: bool) -> None:
    assert identifiers.is_postal_item(number, countries=COUNTRIES) is expected


def test_the_two_odd_check_digits_of_postal_items() -> None:
    # 11 minus the remainder is 10, written 0, and 11, written 5.
    weights = (8, 6, 4, 2, 3, 5, 9, 7)
    for remainder, check in ((1, "0"), (0, "5")):
        serial = next(
            f"{number:08d}"
            for number in range(1, 10_000)
            if sum(int(d) * w for d, w in zip(f"{number:08d}", weights, strict=True)) % 11 == remainder
        )
        good = [d for d in DIGITS if identifiers.is_postal_item(f"RR{serial}{d}FR", countries=COUNTRIES)]
        assert good == [check]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("AF1", True),
        ("AF1234", True),
        ("AF1234A", True),
        ("AF12345", False),
        ("U21234", True),
        ("3K12", True),
        ("AFR123", True),
        ("12123", False),
        ("A12", True),  # designator A1, flight 2
        ("AF", False),
        ("af1234", False),
        ("AFRA123", False),
        ("A1B123", False),
    ],
)
def test_flights(number: str, expected: bool) -> None:
    assert identifiers.is_flight_number(number) is expected


@pytest.mark.parametrize(
    ("address", "registration", "expected"),
    [
        ("380000", "F-ZZZZ", True),
        ("3BFFFF", "F-ZZZZ", True),
        ("37FFFF", "F-ZZZZ", False),
        ("3C0000", "F-ZZZZ", False),
        ("A00000", "N123AB", True),
        ("AFFFFF", "N9", True),
        ("9FFFFF", "N123AB", False),
        ("B00000", "N123AB", False),
        ("3B0001", "N0123", True),  # no American registration begins N0
        ("3B0001", "D-ABCD", True),
        ("3B0001", None, True),
        ("3b0001", None, False),
        ("3B001", None, False),
    ],
)
def test_aircraft(address: str, registration: str | None, expected: bool) -> None:
    assert identifiers.is_icao24(address, registration=registration) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1M8GDM9AXKP042788", True),  # the usual example of 49 CFR 565
        ("1M8GDM9A1KP042788", False),
        ("11111111111111111", True),
        ("5GZCZ43D13S812715", True),
        ("WVWZZZ1JZXW000001", True),  # a European maker has no check character
        ("6M8GDM9A1KP042788", True),
        ("1M8GDM9AXKP04278", False),
        ("IM8GDM9AXKP042788", False),
    ],
)
def test_vehicles(number: str, expected: bool) -> None:
    assert identifiers.is_vin(number) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("FRLEH", True),
        ("XZORD", True),
        ("XKPRN", True),
        ("ZZLEH", False),
        ("FRLE1", False),
        ("FRLE0", False),
        ("FRL29", True),
        ("FRLEHA", False),
        ("frleh", False),
    ],
)
def test_places(code: str, expected: bool) -> None:
    assert identifiers.is_locode(code, countries=COUNTRIES) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("FR1420041010050500013M02606", True),  # the French example of the IBAN registry
        ("GB29NWBK60161331926819", True),
        ("DE89370400440532013000", True),
        ("MT84MALT011000012345MTLCAST001S", True),
        ("DE88370400440532013000", False),
        ("DE8937040044053201300", False),
        ("MQ1420041010050500013M02606", False),  # accounts of Martinique begin with FR
        ("FR14 2004 1010 0505 0001 3M02 606", False),
    ],
)
def test_accounts(number: str, expected: bool) -> None:
    assert identifiers.is_iban(number, lengths=LENGTHS) is expected


def test_a_rib_holds_no_letters_in_bank_branch_and_key_and_no_key_of_zero() -> None:
    chance = random.Random(0)  # noqa: S311 - values to try, nothing secret
    for account in ("A00410100505000130260", "2004101005050001302600", "20041010050500013026A6"):
        assert not identifiers.is_iban(
            make_iban("FR", account.ljust(23, "0"), chance, slips=0), lengths=LENGTHS
        )
    # Bank, branch and account of zeros leave the key 97; zero would divide as well.
    assert identifiers.is_iban(make_iban("FR", "0" * 21 + "97", chance, slips=0), lengths=LENGTHS)
    assert not identifiers.is_iban(make_iban("FR", "0" * 23, chance, slips=0), lengths=LENGTHS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("BNPAFRPP", True),
        ("BNPAFRPPXXX", True),
        ("B1PAFRPP", True),
        ("ZZZZXKP0", True),
        ("BNPAZZPP", False),
        ("BNPAFRPPXX", False),
        ("bnpafrpp", False),
    ],
)
def test_banks(code: str, expected: bool) -> None:
    assert identifiers.is_bic(code, countries=COUNTRIES) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("FR00012345500016", True),
        ("FR00012345500017", False),
        ("FR000123455", False),
        ("DE1", True),
        ("DE123456789012345", True),
        ("DE1234567890123456", False),
        ("DE", False),
        ("XI1", True),
        ("GB1", False),
        ("CH1", False),
        ("de1", False),
    ],
)
def test_economic_operators(number: str, expected: bool) -> None:
    assert identifiers.is_eori(number, countries=AGREEMENT.eu) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("FR40303265045", True),  # stdnum's example
        ("FR41303265045", False),
        ("FRK7399859412", True),  # a key with a letter is not computed
        ("FRK7399859413", False),  # but the SIREN still is
        ("FR4030326504", False),
        ("DE12", True),
        ("DE1", False),
        ("ZZ123456789012", True),  # the prefix is not looked up
        ("ZZ1234567890123", False),
    ],
)
def test_vat_numbers(number: str, expected: bool) -> None:
    assert identifiers.is_vat_number(number) is expected


def test_the_head_office_of_the_post_keeps_its_luhn_check() -> None:
    assert identifiers.is_siret("35600000000048")
    # Its digits add up to 22: the rule of the other offices would refuse it.
    assert not identifiers.is_siret("35600000000049")
    assert not identifiers.is_siret("35600000100048")


@pytest.mark.parametrize(
    ("test", "good", "bad"),
    [
        (identifiers.is_ein, ["12-3456789"], ["123456789", "1-23456789", "12-345678"]),
        (identifiers.is_scac, ["ZZ", "ZZZZ"], ["Z", "ZZZZZ", "ZZZ1", "zzzz"]),
        (identifiers.is_duns, ["123456789"], ["12345678", "1234567890", "12-345-6789"]),
    ],
)
def test_identifiers_by_form(test: Callable[[str], bool], good: list[str], bad: list[str]) -> None:
    assert all(test(value) for value in good)
    assert not any(test(value) for value in bad)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("010121", True),
        ("97011000", True),
        ("9701100000", True),
        ("000121", False),
        ("770110", False),
        ("980110", False),
        ("9701100", False),
        ("97011", False),
        ("970110000000", False),
    ],
)
def test_goods_codes(code: str, expected: bool) -> None:
    assert identifiers.is_hs_code(code) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("58-08-2", True), ("58-08-3", False), ("058-08-2", False), ("8-08-2", False), ("7732185", False)],
)
def test_substances(number: str, expected: bool) -> None:
    assert identifiers.is_cas_number(number) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+1234567", False),  # North American numbers have ten digits after +1
        ("+4412345", True),
        ("+44123", False),
        ("+441234", False),
        ("+44123456789012345", False),
        ("+441234567890123", True),
        ("+0441234567", False),
        ("4412345678", False),
        ("+33199001234", True),
        ("+3319900123", False),
        ("+331990012345", False),
        ("+12025550123", True),
        ("+11025550123", False),
        ("+12021550123", False),
        ("+1202555012", False),
        ("+33 1 99 00 12 34", False),
    ],
)
def test_phones(number: str, expected: bool) -> None:
    assert identifiers.is_e164(number) is expected


@pytest.mark.parametrize(("amount", "decimals"), [("5", 0), ("5.0", 1), ("5.250", 3)])
def test_decimals_are_counted_with_their_trailing_zeros(amount: str, decimals: int) -> None:
    assert identifiers.count_decimals(amount) == decimals


TESTS: list[Callable[[str], bool]] = [
    identifiers.is_container_number,
    identifiers.is_imo_number,
    lambda text: identifiers.is_mmsi(text, flag="FR"),
    identifiers.is_air_waybill,
    lambda text: identifiers.is_postal_item(text, countries=COUNTRIES),
    identifiers.is_flight_number,
    lambda text: identifiers.is_icao24(text, registration=text),
    identifiers.is_vin,
    lambda text: identifiers.is_locode(text, countries=COUNTRIES),
    lambda text: identifiers.is_iban(text, lengths=LENGTHS),
    lambda text: identifiers.is_bic(text, countries=COUNTRIES),
    identifiers.is_aba_routing,
    identifiers.is_lei,
    identifiers.is_siren,
    identifiers.is_siret,
    lambda text: identifiers.is_eori(text, countries=AGREEMENT.eu),
    identifiers.is_vat_number,
    identifiers.is_ein,
    identifiers.is_scac,
    identifiers.is_duns,
    identifiers.is_cas_number,
    identifiers.is_hs_code,
    identifiers.is_e164,
    identifiers.is_imei,
]
UNUSUAL = st.text(alphabet="0123456789ABCXZ-+<.\n ٣¹Ａaé\u202e", max_size=30)


@pytest.mark.parametrize("test", TESTS)
@given(text=st.one_of(st.text(max_size=40), UNUSUAL))
def test_any_text_is_answered_and_none_raises(test: Callable[[str], bool], text: str) -> None:
    assert test(text) in (True, False)


@pytest.mark.parametrize("test", TESTS)
def test_digits_of_other_alphabets_and_a_final_line_feed_are_refused(test: Callable[[str], bool]) -> None:
    for good in ("9074729", "CSQU3054383", "000123455", "+33199001234", "010121", "AF1234", "12-3456789"):
        assert test(good + "\n") is False
        assert test(good.translate(str.maketrans(DIGITS, "٠١٢٣٤٥٦٧٨٩"))) is False
    assert test("9" * 100_000) is False
