"""Each identifier is examined where a message holds it; the arithmetic has tests of its own."""

from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

CONTAINER = "/payload/consignment/containers/0/number"
CONVEYANCE = "/payload/consignment/conveyance"
DOCUMENT = "/payload/consignment/documents/0"
PASSPORT = "/payload/persons/0/documents/0"
IDENTIFIER = "/payload/organisations/0/identifiers/0"
CONTACT = "/payload/persons/0/contacts/0"
ACCOUNT = "/payload/accounts/0"
VESSEL = {"ref": "v1", "kind": "VESSEL", "name": "SPECIMEN TRADER"}


def cargo(changes: dict[str, object]) -> set[tuple[str, str]]:
    return verdict(changed("target.cargo_referral", changes))


def intelligence(changes: dict[str, object]) -> set[tuple[str, str]]:
    return verdict(changed("intel.spontaneous", changes))


@pytest.mark.parametrize(("number", "broken"), [("CSQU3054383", False), ("CSQU3054384", True)])
def test_id_iso6346_in_a_consignment(number: str, broken: bool) -> None:
    assert cargo({CONTAINER: number}) == ({("ID-ISO6346", CONTAINER)} if broken else set())


@pytest.mark.parametrize(("number", "broken"), [("CSQU3054383", False), ("CSQU3054384", True)])
def test_id_iso6346_in_a_field_of_a_type(number: str, broken: bool) -> None:
    pointer = "/payload/container"

    assert verdict(changed("inspect.result", {pointer: number})) == (
        {("ID-ISO6346", pointer)} if broken else set()
    )


def test_every_bad_container_is_reported() -> None:
    containers = [{"number": "CSQU3054384"}, {"number": "CSQU3054383"}, {"number": "CSQU3054385"}]

    assert cargo({"/payload/consignment/containers": containers}) == {
        ("ID-ISO6346", "/payload/consignment/containers/0/number"),
        ("ID-ISO6346", "/payload/consignment/containers/2/number"),
    }


@pytest.mark.parametrize(
    ("rule", "field", "good", "bad"),
    [
        ("ID-IMO", "imo", {"imo": "9074729"}, {"imo": "9074728"}),
        ("ID-MMSI", "mmsi", {"mmsi": "227000001", "flag": "FR"}, {"mmsi": "366000001", "flag": "FR"}),
        ("ID-MMSI", "mmsi", {"mmsi": "303000001", "flag": "US"}, {"mmsi": "228000001", "flag": "US"}),
        ("ID-MMSI", "mmsi", {"mmsi": "366000001", "flag": "PA"}, {"mmsi": "366000001", "flag": "FR"}),
        (
            "ID-ICAO24",
            "icao24",
            {"icao24": "3B0001", "registration": "F-ZZZZ"},
            {"icao24": "A00001", "registration": "F-ZZZZ"},
        ),
        ("ID-VIN", "vin", {"vin": "1M8GDM9AXKP042788"}, {"vin": "1M8GDM9A1KP042788"}),
        ("ID-ISO3166", "flag", {"flag": "GB"}, {"flag": "UK"}),
    ],
)
def test_identifiers_of_a_conveyance(
    rule: str, field: str, good: dict[str, str], bad: dict[str, str]
) -> None:
    assert cargo({CONVEYANCE: VESSEL | good}) == set()
    assert cargo({CONVEYANCE: VESSEL | bad}) == {(rule, f"{CONVEYANCE}/{field}")}


@pytest.mark.parametrize(
    ("rule", "kind", "good", "bad"),
    [
        ("ID-AWB", "MAWB", "057-12345675", "057-12345676"),
        ("ID-AWB", "MAWB", "057-12345675", "05712345675"),
        ("ID-S10", "S10", "RR473124829FI", "RR473124828FI"),
        ("ID-S10", "S10", "RR473124829FI", "RR473124829ZZ"),
    ],
)
def test_numbers_of_transport_documents(rule: str, kind: str, good: str, bad: str) -> None:
    assert cargo({DOCUMENT: {"kind": kind, "number": good}}) == set()
    assert cargo({DOCUMENT: {"kind": kind, "number": bad}}) == {(rule, f"{DOCUMENT}/number")}


@pytest.mark.parametrize("kind", ["BL", "HBL", "HAWB", "EXPRESS", "ATA"])
def test_other_documents_have_no_check(kind: str) -> None:
    assert cargo({DOCUMENT: {"kind": kind, "number": "057-12345676"}}) == set()


@pytest.mark.parametrize(("number", "broken"), [("3K12", False), ("123456", True)])
def test_id_flight(number: str, broken: bool) -> None:
    pointer = "/payload/flight/number"

    assert verdict(changed("target.pax_referral", {pointer: number})) == (
        {("ID-FLIGHT", pointer)} if broken else set()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {f"{PASSPORT}/number": "SPEC00002"},
        {f"{PASSPORT}/issuer": "XXA"},
        {"/payload/persons/0/dob": "1980-02-28"},
        {
            f"{PASSPORT}/mrz/1": "SPEC000010UTO8002294M3105043<<<<<<<<<<<<<<00",
        },
    ],
)
def test_id_mrz_a_zone_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    assert intelligence(changes) == {("ID-MRZ", f"{PASSPORT}/mrz")}


@pytest.mark.parametrize("dob", ["1980", "1980-03", "1981", ABSENT])
def test_a_birth_date_that_is_not_known_to_the_day_is_not_compared(dob: object) -> None:
    assert intelligence({"/payload/persons/0/dob": dob}) == set()


def test_a_document_without_a_zone_is_good() -> None:
    assert intelligence({f"{PASSPORT}/mrz": ABSENT, f"{PASSPORT}/number": "ANY1"}) == set()


FINANCIAL = {"/header/data_protection/categories/-": "FINANCIAL"}


@pytest.mark.parametrize(
    ("rule", "field", "account", "bad"),
    [
        (
            "ID-IBAN",
            "iban",
            {"kind": "IBAN", "iban": "FR7699999000000000000041743"},
            "FR7699999000000000000041744",
        ),
        (
            "ID-BIC",
            "bic",
            {"kind": "IBAN", "iban": "FR7699999000000000000041743", "bic": "ZZZZXKP0"},
            "ZZZZZZP0",
        ),
        (
            "ID-ABA",
            "routing",
            {"kind": "US_BANK", "routing": "000000505", "account_masked": "****4417"},
            "000000504",
        ),
        (
            "ID-CRYPTO",
            "address",
            {"kind": "CRYPTO", "chain": "BTC", "address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"},
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        ),
    ],
)
def test_identifiers_of_an_account(rule: str, field: str, account: dict[str, str], bad: str) -> None:
    good = {"ref": "a1", **account}

    assert intelligence({"/payload/accounts": [good], **FINANCIAL}) == set()
    assert intelligence({"/payload/accounts": [good | {field: bad}], **FINANCIAL}) == {
        (rule, f"{ACCOUNT}/{field}")
    }


def test_id_crypto_is_silent_when_the_account_is_not_whole() -> None:
    account = {"ref": "a1", "kind": "CRYPTO", "address": "no address"}

    assert intelligence({"/payload/accounts": [account], **FINANCIAL}) == {("CX-ACCOUNT", ACCOUNT)}


def test_an_address_beside_another_kind_is_not_examined() -> None:
    account = {
        "ref": "a1",
        "kind": "PAYMENT_APP",
        "provider": "Specimen Pay",
        "address": "0x1",
        "chain": "ETH",
    }

    assert intelligence({"/payload/accounts": [account], **FINANCIAL}) == set()


@pytest.mark.parametrize(
    ("scheme", "good", "bad"),
    [
        ("LEI", "0000000SPECIMEN0FR76", "0000000SPECIMEN0FR77"),
        ("EORI", "DE123456789012345", "CH123456789012345"),
        ("EORI", "FR00012345500016", "FR00012345500017"),
        ("EORI", "XI1", "GB1"),
        ("SIREN", "000123455", "000123456"),
        ("SIRET", "00012345500016", "00012345500017"),
        ("VAT", "DE1234567890AB", "DE1"),
        ("EIN", "12-3456789", "123456789"),
        ("SCAC", "ZZZZ", "ZZZZZ"),
        ("DUNS", "123456789", "12345678"),
    ],
)
def test_identifiers_of_an_organisation(scheme: str, good: str, bad: str) -> None:
    assert intelligence({IDENTIFIER: {"scheme": scheme, "value": good}}) == set()
    assert intelligence({IDENTIFIER: {"scheme": scheme, "value": bad}}) == {
        (f"ID-{scheme}", f"{IDENTIFIER}/value")
    }


@pytest.mark.parametrize(("cas", "broken"), [("50-36-2", False), ("50-36-3", True)])
def test_id_cas(cas: str, broken: bool) -> None:
    pointer = "/payload/items/0/substance/cas"

    assert verdict(changed("seizure.report", {pointer: cas})) == ({("ID-CAS", pointer)} if broken else set())


@pytest.mark.parametrize(
    ("code", "broken"), [("970110", False), ("010121", False), ("770110", True), ("980110", True)]
)
def test_id_hs(code: str, broken: bool) -> None:
    pointer = "/payload/items/1/hs"

    assert verdict(changed("seizure.report", {pointer: code})) == ({("ID-HS", pointer)} if broken else set())


@pytest.mark.parametrize(
    "pointer",
    [
        "/payload/route_from",
        "/payload/route_to",
        "/payload/place/unlocode",
    ],
)
@pytest.mark.parametrize(("code", "broken"), [("XZORD", False), ("XKPRN", False), ("ZZAAA", True)])
def test_id_locode_in_fields_of_a_type_and_in_a_place(pointer: str, code: str, broken: bool) -> None:
    assert verdict(changed("seizure.report", {pointer: code})) == (
        {("ID-LOCODE", pointer)} if broken else set()
    )


def test_id_locode_in_a_list_names_the_entry() -> None:
    assert cargo({"/payload/consignment/via": ["PAMIT", "ZZAAA"]}) == {
        ("ID-LOCODE", "/payload/consignment/via/1")
    }


def test_id_locode_of_both_ends_of_a_consignment() -> None:
    assert cargo({"/payload/consignment/load": "ZZAAA", "/payload/consignment/discharge": "ZZAAB"}) == {
        ("ID-LOCODE", "/payload/consignment/load"),
        ("ID-LOCODE", "/payload/consignment/discharge"),
    }


@pytest.mark.parametrize(
    ("pointer", "good", "bad"),
    [
        ("/payload/consignment/goods/0/origin", "MQ", "UK"),
        ("/payload/organisations/0/country", "GB", "EU"),
    ],
)
def test_id_iso3166_countries_have_two_letters(pointer: str, good: str, bad: str) -> None:
    assert cargo({pointer: good}) == set()
    assert cargo({pointer: bad}) == {("ID-ISO3166", pointer)}


@pytest.mark.parametrize("state", ["FRA", "D", "UTO", "XXA", "GBN", "UNO", "RKS", "EUE"])
def test_a_nationality_may_be_any_that_a_passport_shows(state: str) -> None:
    assert intelligence({"/payload/persons/0/nationalities": ["FRA", state]}) == set()


@pytest.mark.parametrize("state", ["FR", "DEU1", "XXX1", "ZZZ", "X"])
def test_id_iso3166_a_nationality_that_no_passport_shows_is_refused(state: str) -> None:
    pointer = "/payload/persons/0/nationalities/1"
    rule = "SCHEMA" if len(state) > 3 else "ID-ISO3166"

    assert intelligence({"/payload/persons/0/nationalities": ["FRA", state]}) == {(rule, pointer)}


def test_id_iso3166_an_issuer_that_does_not_exist_is_refused() -> None:
    message = {f"{PASSPORT}/issuer": "ZZZ", f"{PASSPORT}/mrz": ABSENT}

    assert intelligence(message) == {("ID-ISO3166", f"{PASSPORT}/issuer")}


VALUE = "/payload/consignment/goods/0/value"


@pytest.mark.parametrize(
    ("amount", "currency"), [("5", "JPY"), ("5.25", "EUR"), ("5.2", "EUR"), ("5", "EUR"), ("5.125", "BHD")]
)
def test_an_amount_may_have_the_decimals_of_its_currency(amount: str, currency: str) -> None:
    assert cargo({VALUE: {"amount": amount, "currency": currency}}) == set()


@pytest.mark.parametrize(("amount", "currency"), [("5.0", "JPY"), ("5.250", "EUR"), ("5.1250", "BHD")])
def test_id_iso4217_more_decimals_are_refused(amount: str, currency: str) -> None:
    assert cargo({VALUE: {"amount": amount, "currency": currency}}) == {("ID-ISO4217", VALUE)}


def test_id_iso4217_an_unknown_currency_is_refused() -> None:
    assert cargo({VALUE: {"amount": "5.12345", "currency": "ZZZ"}}) == {("ID-ISO4217", f"{VALUE}/currency")}


@pytest.mark.parametrize(
    ("rule", "kind", "good", "bad"),
    [
        ("ID-E164", "PHONE", "+33199001234", "+3319900123"),
        ("ID-E164", "PHONE", "+12025550123", "+11025550123"),
        ("ID-IMEI", "IMEI", "350000000000170", "350000000000171"),
    ],
)
def test_contacts_of_a_person(rule: str, kind: str, good: str, bad: str) -> None:
    assert intelligence({CONTACT: {"kind": kind, "value": good}}) == set()
    assert intelligence({CONTACT: {"kind": kind, "value": bad}}) == {(rule, f"{CONTACT}/value")}


def test_id_e164_of_an_organisation() -> None:
    contacts = [{"kind": "EMAIL", "value": "x"}, {"kind": "PHONE", "value": "0199001234"}]

    assert intelligence({"/payload/organisations/0/contacts": contacts}) == {
        ("ID-E164", "/payload/organisations/0/contacts/1/value")
    }


@pytest.mark.parametrize("kind", ["EMAIL", "HANDLE", "URL", "IMSI"])
def test_other_contacts_have_no_check(kind: str) -> None:
    assert intelligence({CONTACT: {"kind": kind, "value": "x"}}) == set()
