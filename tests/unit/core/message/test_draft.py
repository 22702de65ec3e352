"""A node fills in what it knows and changes nothing an agency wrote."""

from __future__ import annotations

import copy
import json
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.draft import MAX_SEQ, Completed, Sender, assign_number, complete
from gateway.core.message.examine import examine_document
from gateway.core.message.instants import instant_ms
from gateway.core.message.threads import StoredMessage

CATALOGUE = read_catalogue()
EXAMPLES = {
    document["header"]["message_id"]: document
    for path in sorted(catalogue_folder().glob("*/examples/valid-*.json"))
    for document in [orjson.loads(path.read_bytes())]
}
NOW = instant_ms("2026-11-05T12:00:00.123Z")
NEW_ID = UUID("0190f3c2-7a00-7c11-8f00-000000000001").bytes
SARC = Sender(nation="FR", agency="FR.DGDDI.SARC", unit="fret-maritime")
NTC = Sender(nation="US", agency="US.CBP.NTC", unit=None)


def finish(draft: dict[str, Any], *, sender: Sender = SARC, now_ms: int = NOW, **more: Any) -> Completed:
    before = copy.deepcopy(draft)
    completed = complete(
        draft,
        catalogue=CATALOGUE,
        sender=sender,
        peer_nation="US" if sender.nation == "FR" else "FR",
        now_ms=now_ms,
        new_id=lambda: NEW_ID,
        **{"parent": None, **more},
    )
    assert draft == before, "the draft itself must not change"
    return completed


def header_of(header: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the completed header of a small spontaneous message."""
    draft = {
        "type": "intel.spontaneous/1",
        "header": header,
        "payload": more.pop("payload", {"summary": "S"}),
    }
    completed: dict[str, Any] = finish(draft, **more).document["header"]
    return completed


def stored(document: dict[str, Any]) -> StoredMessage:
    header = document["header"]
    return StoredMessage(
        message_id=UUID(header["message_id"]).bytes,
        type=document["type"],
        conversation_id=UUID(header["conversation"]["id"]).bytes,
        nation=header["from"]["nation"],
        from_agency=header["from"]["agency"],
        to_agencies=tuple(to["agency"] for to in header["to"]),
        purpose=header["purpose"]["code"],
        reply_by_ms=None,
    )


def test_a_draft_gets_the_number_behind_the_last_one_as_far_as_the_schema_goes() -> None:
    schema = json.loads((catalogue_folder() / "common" / "conversation.json").read_bytes())
    document: dict[str, Any] = {"header": {"conversation": {"seq": 1}}}

    assert schema["properties"]["seq"]["maximum"] == MAX_SEQ
    assert assign_number(document, MAX_SEQ - 1) == []
    assert document["header"]["conversation"]["seq"] == MAX_SEQ
    (full,) = assign_number(document, MAX_SEQ)
    assert (full.rule, full.pointer) == ("SCHEMA", "/header/conversation/seq")


REFERRAL = next(d for d in EXAMPLES.values() if d["type"] == "target.cargo_referral/1")


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda d: str(d["type"]))
def test_a_full_message_passes_as_it_is(example: dict[str, Any]) -> None:
    sender = Sender(**{"unit": None, **{k: example["header"]["from"][k] for k in ("nation", "agency")}})

    completed = finish(example, sender=sender)

    assert completed.document is example
    assert not completed.seq_missing


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda d: str(d["type"]))
def test_a_draft_of_what_only_the_agency_knows_becomes_a_good_message(example: dict[str, Any]) -> None:
    full = example["header"]
    header = {k: full[k] for k in ("language", "precedence", "evaluation", "event") if k in full}
    more: dict[str, Any] = {}
    reply = full["conversation"].get("in_reply_to")
    if reply is not None:
        header["conversation"] = {"in_reply_to": reply}
        more = {"parent": stored(EXAMPLES[reply]), "parent_content": EXAMPLES[reply]}
    terms = CATALOGUE.type(example["type"]).terms
    if reply is None or not terms.reply_to:
        header["to"] = full["to"]
        if len(terms.purposes) > 1 or "*" in terms.purposes or full["purpose"]["areas"]:
            header["purpose"] = full["purpose"]
    if full["data_protection"]["contains_personal_data"]:
        # Who is a suspect, and what prose says, no structure shows.
        header["data_protection"] = {k: full["data_protection"][k] for k in ("categories", "subjects")}
    sender = Sender(nation=full["from"]["nation"], agency=full["from"]["agency"], unit=None)
    now_ms = instant_ms(full["created_at"])
    draft = {"type": example["type"], "header": header, "payload": example["payload"]}

    completed = finish(draft, sender=sender, now_ms=now_ms, **more)

    assert examine_document(completed.document, catalogue=CATALOGUE, now_ms=now_ms) == ()
    assert completed.seq_missing
    assert completed.document["payload"] == example["payload"]


def test_identity_and_times_come_from_certificate_clock_and_agreement() -> None:
    header = header_of({"precedence": "PRIORITY"})

    assert header["schema_version"] == "1.0"
    assert header["created_at"] == "2026-11-05T12:00:00.123Z"
    assert header["expires_at"] == "2026-11-12T12:00:00.123Z"
    assert header["from"] == {
        "nation": "FR",
        "agency": "FR.DGDDI.SARC",
        "unit": "fret-maritime",
        "officer_ref": "fr-000000000000",
    }


def test_a_new_message_id_carries_the_time_of_creation() -> None:
    for given in ({}, {"created_at": "2026-11-01T00:00:00Z"}):
        header = header_of(dict(given))
        identifier = UUID(header["message_id"])

        assert int.from_bytes(identifier.bytes[:6]) == instant_ms(header["created_at"])
        assert identifier.bytes[6:] == NEW_ID[6:]
        assert identifier.version == 7


def test_a_given_message_id_tells_the_time_of_creation() -> None:
    earlier = NOW - 3_600_000
    identifier = str(UUID(bytes=earlier.to_bytes(6) + NEW_ID[6:]))

    assert header_of({"message_id": identifier})["created_at"] == "2026-11-05T11:00:00.123Z"


@pytest.mark.parametrize("offset_ms", [-2 * 86_400_000, 600_000, 2**46])
def test_an_id_with_an_unlikely_time_is_left_to_the_rules(offset_ms: int) -> None:
    identifier = str(UUID(bytes=(NOW + offset_ms).to_bytes(6) + NEW_ID[6:]))

    header = header_of({"message_id": identifier})

    assert header["message_id"] == identifier
    assert header["created_at"] == "2026-11-05T12:00:00.123Z"


@pytest.mark.parametrize(
    ("precedence", "expires"),
    [
        ("FLASH", "2026-11-06T12:00:00.123Z"),
        ("IMMEDIATE", "2026-11-07T12:00:00.123Z"),
        ("ROUTINE", "2026-11-12T12:00:00.123Z"),
        ("URGENT", "2026-11-12T12:00:00.123Z"),
        (["FLASH"], "2026-11-12T12:00:00.123Z"),
    ],
)
def test_time_to_live_follows_precedence(precedence: object, expires: str) -> None:
    assert header_of({"precedence": precedence})["expires_at"] == expires


def test_an_opener_names_its_own_conversation() -> None:
    header = header_of({})

    assert header["conversation"] == {"id": header["message_id"], "pattern": "SPONTANEOUS", "seq": 1}


def test_a_sequence_number_that_is_given_stays() -> None:
    draft = {"type": "intel.spontaneous/1", "header": {"conversation": {"seq": 7}}, "payload": {}}

    completed = finish(draft)

    assert completed.document["header"]["conversation"]["seq"] == 7
    assert not completed.seq_missing


def reply(header: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the completed header of an acknowledgement of the cargo referral."""
    identifier = REFERRAL["header"]["message_id"]
    draft = {
        "type": "assist.ack/1",
        "header": {"conversation": {"in_reply_to": identifier}, **(header or {})},
        "payload": {},
    }
    completed: dict[str, Any] = finish(draft, **{"parent": stored(REFERRAL), **more}).document["header"]
    return completed


def test_a_reply_takes_conversation_addressee_and_purpose_from_what_it_answers() -> None:
    header = reply(parent_content=REFERRAL)

    assert header["conversation"] == {
        "id": REFERRAL["header"]["conversation"]["id"],
        "pattern": "REQUEST",
        "seq": 1,
        "in_reply_to": REFERRAL["header"]["message_id"],
    }
    assert header["to"] == [{"nation": "US", "agency": "US.CBP.NTC"}]
    assert header["purpose"] == REFERRAL["header"]["purpose"]


def test_a_reply_keeps_the_addressee_and_purpose_it_was_given() -> None:
    given = {
        "to": [{"nation": "US", "agency": "US.CBP"}],
        "purpose": {"code": "CARGO_TARGETING", "areas": []},
    }

    header = reply(given)

    assert (header["to"], header["purpose"]) == (given["to"], given["purpose"])


def test_an_acknowledgement_of_an_alert_stays_in_the_pattern_of_the_alert() -> None:
    alert = next(d for d in EXAMPLES.values() if d["type"] == "alert.urgent/1")

    assert reply(parent=stored(alert))["conversation"]["pattern"] == "ALERT"


def test_a_reply_to_nobody_is_filed_under_what_it_names() -> None:
    header = reply(parent=None)

    assert header["conversation"]["id"] == REFERRAL["header"]["message_id"]
    assert "to" not in header


def test_a_withdrawal_goes_to_all_who_got_what_it_withdraws_with_the_same_purpose() -> None:
    request = next(d for d in EXAMPLES.values() if d["type"] == "assist.request/1")
    two = copy.deepcopy(request)
    two["header"]["to"] = [{"nation": "US", "agency": code} for code in ("US.ICE.HSI", "US.CBP")]
    draft = {
        "type": "assist.cancel/1",
        "header": {"conversation": {"in_reply_to": request["header"]["message_id"]}},
        "payload": {},
    }
    dnred = Sender(nation="FR", agency="FR.DGDDI.DNRED", unit=None)

    header = finish(draft, sender=dnred, parent=stored(two), parent_content=two).document["header"]

    assert header["to"] == two["header"]["to"]
    assert header["purpose"] == two["header"]["purpose"]
    assert header["conversation"]["id"] == request["header"]["conversation"]["id"]


def test_a_message_of_the_other_nation_is_not_withdrawn_for_it() -> None:
    draft = {
        "type": "assist.cancel/1",
        "header": {"conversation": {"in_reply_to": REFERRAL["header"]["message_id"]}},
        "payload": {},
    }

    assert "to" not in finish(draft, parent=stored(REFERRAL)).document["header"]


def test_the_second_half_of_a_case_takes_its_purpose_from_the_first() -> None:
    proposal = next(
        d
        for d in EXAMPLES.values()
        if d["type"] == "invest.joint_case/1" and "in_reply_to" not in d["header"]["conversation"]
    )
    draft = {
        "type": "invest.joint_case/1",
        "header": {"conversation": {"in_reply_to": proposal["header"]["message_id"]}},
        "payload": {},
    }
    hsi = Sender(nation="US", agency="US.ICE.HSI", unit=None)

    header = finish(draft, sender=hsi, parent=stored(proposal), parent_content=proposal).document["header"]

    assert header["purpose"] == proposal["header"]["purpose"]
    assert header["to"] == [{"nation": "FR", "agency": "FR.DGDDI.DNRED"}]


def purpose_of(type_id: str, header: dict[str, Any]) -> Any:
    completed = finish({"type": type_id, "header": header, "payload": {}}).document
    return completed["header"].get("purpose")


def test_a_type_with_one_purpose_gets_it() -> None:
    areas = {"purpose": {"areas": ["ARMS"]}}

    assert purpose_of("invest.joint_case/1", areas) == {"code": "CRIMINAL_INVESTIGATION", "areas": ["ARMS"]}
    assert purpose_of("invest.joint_case/1", {}) == {"code": "CRIMINAL_INVESTIGATION", "areas": []}


@pytest.mark.parametrize("type_id", ["target.risk_rule/1", "assist.cancel/1", "assist.ack/1"])
def test_a_type_with_several_purposes_or_that_of_another_message_gets_none(type_id: str) -> None:
    assert purpose_of(type_id, {}) is None


def test_the_only_possible_addressee_is_filled_in() -> None:
    draft = {"type": "target.pax_referral/1", "header": {}, "payload": {}}

    assert finish(draft).document["header"]["to"] == [{"nation": "US", "agency": "US.CBP.NTC"}]
    assert "to" not in header_of({})


def test_an_addressee_without_nation_is_one_of_the_other_nation() -> None:
    header = header_of({"to": [{"agency": "US.ICE.HSI"}, {"nation": "FR", "agency": "FR.SCL"}, 7]})

    assert header["to"] == [
        {"nation": "US", "agency": "US.ICE.HSI"},
        {"nation": "FR", "agency": "FR.SCL"},
        7,
    ]


def test_each_nation_has_its_default_marking_with_the_agreed_equivalent() -> None:
    assert header_of({})["marking"] == {
        "policy": "FR",
        "level": "DIFFUSION_RESTREINTE",
        "alternative": {"policy": "US", "level": "CUI"},
        "releasable_to": ["FRA", "USA"],
    }
    assert header_of({}, sender=NTC)["marking"] == {
        "policy": "US",
        "level": "CUI",
        "alternative": {"policy": "FR", "level": "DIFFUSION_RESTREINTE"},
        "releasable_to": ["USA", "FRA"],
        "cui_categories": ["LEI"],
    }


def test_a_given_level_gets_its_own_equivalent_and_no_category() -> None:
    marking = header_of({"marking": {"level": "UNCLASSIFIED", "caveats": ["ORCON"]}}, sender=NTC)["marking"]

    assert marking["alternative"] == {"policy": "FR", "level": "NON_PROTEGE"}
    assert marking["caveats"] == ["ORCON"]
    assert "cui_categories" not in marking


@pytest.mark.parametrize("level", ["LOUD", ["CUI"], 3])
def test_an_unknown_level_gets_no_equivalent(level: object) -> None:
    assert "alternative" not in header_of({"marking": {"level": level}})["marking"]


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({}, ["H1", "H2"]),
        ({"use": {"evidence": "YES"}}, ["H2"]),
        ({"use": {"dissemination": "NATIONAL_LE"}}, ["H1"]),
        ({"use": {"evidence": "YES", "dissemination": "NATIONAL_LE"}}, ["H0"]),
        ({"handling": {"conditions": "Wait."}}, ["H1", "H2", "H3"]),
        ({"handling": {"codes": ["H0"]}}, ["H0"]),
    ],
)
def test_default_handling_agrees_with_the_use_that_is_given(given: dict[str, Any], codes: list[str]) -> None:
    header = header_of(given)

    assert header["handling"]["codes"] == codes
    assert set(header["use"]) == {"evidence", "dissemination", "onward_transfer"}


PERSON = {"ref": "p1", "role": "PASSENGER", "family_name": "SPECIMEN", "dob": "1980-02-29"}


def protection(payload: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    header = header_of({} if given is None else {"data_protection": given}, payload=payload, **more)
    declared: dict[str, Any] = header["data_protection"]
    return declared


def test_without_personal_data_nothing_is_declared() -> None:
    assert protection({"summary": "S"}) == {
        "contains_personal_data": False,
        "categories": [],
        "subjects": [],
        "special_categories": [],
        "minors": False,
        "safeguards": [],
    }


def test_personal_data_that_the_structure_shows_is_declared() -> None:
    contacts = [{"kind": "PHONE", "value": "+33199001234"}, {"kind": "IMEI", "value": "350000000000170"}]
    document = {"kind": "PASSPORT", "number": "SPEC00001", "issuer": "UTO"}
    person = {**PERSON, "contacts": contacts, "documents": [document]}
    account = {"ref": "a1", "kind": "IBAN", "iban": "FR7699999000000000000041743"}

    assert protection({"persons": [person], "accounts": [account]}) == {
        "contains_personal_data": True,
        "categories": ["IDENTITY", "CONTACT", "COMMS_IDENTIFIER", "TRAVEL_DOCUMENT", "FINANCIAL"],
        "subjects": ["TRAVELLER"],
        "special_categories": [],
        "minors": False,
        "safeguards": ["UMBRELLA_2016"],
        "delete_by": "2029-11-04",
    }


def test_a_role_that_does_not_tell_the_subject_leaves_it_to_the_agency() -> None:
    declared = protection({"persons": [{**PERSON, "role": "SUBJECT"}]})

    assert declared["contains_personal_data"]
    assert declared["subjects"] == []


def test_beside_a_role_that_does_not_tell_no_other_subject_is_declared() -> None:
    # The crew alone would pass for all who are concerned, and the suspect go undeclared.
    crew = {**PERSON, "role": "CREW"}

    for persons in ([crew, {**PERSON, "role": "SUBJECT"}], [{**PERSON, "role": "OWNER"}, crew]):
        assert protection({"persons": persons})["subjects"] == []
    assert protection({"persons": [crew, PERSON, crew]})["subjects"] == ["CREW", "TRAVELLER"]


def test_declared_categories_stay_and_bring_retention_and_safeguards() -> None:
    declared = protection({}, {"categories": ["TRADE_PARTY"], "subjects": ["TRADE_OPERATOR"]})

    assert declared["contains_personal_data"] is True
    assert declared["categories"] == ["TRADE_PARTY"]
    assert declared["safeguards"] == ["UMBRELLA_2016"]
    assert declared["delete_by"] == "2029-11-04"


def test_a_false_declaration_is_left_for_the_rules_to_refuse() -> None:
    declared = protection({"persons": [PERSON]}, {"contains_personal_data": False})

    assert declared["contains_personal_data"] is False
    assert "delete_by" not in declared


def test_passenger_name_records_bring_their_agreement() -> None:
    draft = {
        "type": "target.pax_referral/1",
        "header": {},
        "payload": {"travellers": [PERSON], "data_source": "PNR", "pnr_locator": "ZZ0TST"},
    }

    header = finish(draft, sender=NTC).document["header"]

    assert "EUUS_PNR_2012" in header["legal_basis"]
    assert header["data_protection"]["safeguards"] == ["UMBRELLA_2016", "EUUS_PNR_2012"]
    assert header["data_protection"]["categories"] == ["IDENTITY", "PNR"]


def test_a_type_that_demands_its_own_legal_basis_gets_one() -> None:
    draft = {"type": "inspect.request/1", "header": {}, "payload": {}}

    assert finish(draft).document["header"]["legal_basis"] == ["EUUS_CMAA_1997", "FRUS_CUSTOMS_1936"]
    assert header_of({})["legal_basis"] == ["FRUS_CUSTOMS_1936", "EUUS_CMAA_1997"]


CONTROLLED = "invest.controlled_delivery_request/1"
ANSWER = {"conversation": {"in_reply_to": "0190f3c2-7a00-7c11-8f00-000000000009"}}


@pytest.mark.parametrize(
    ("type_id", "header", "payload", "due"),
    [
        ("alert.urgent/1", {"precedence": "FLASH"}, {}, "2026-11-05T12:30:00.123Z"),
        (
            "alert.urgent/1",
            {"precedence": "IMMEDIATE"},
            {"act_before": "2026-11-05T13:00:00Z"},
            "2026-11-05T13:00:00.000Z",
        ),
        # A deadline that has passed caps nothing: CX-ACTBEFORE refuses it.
        (
            "alert.urgent/1",
            {"precedence": "IMMEDIATE"},
            {"act_before": "2026-11-05T11:00:00Z"},
            "2026-11-05T16:00:00.123Z",
        ),
        ("assist.request/1", {"precedence": "FLASH"}, {"urgency": "STANDARD"}, "2026-11-12T12:00:00.123Z"),
        ("alert.urgent/1", {"precedence": "ROUTINE"}, {}, None),
        ("assist.request/1", {}, {"urgency": ["STANDARD"]}, None),
        ("match.query/1", {"precedence": "PRIORITY"}, {}, "2026-11-05T12:15:00.123Z"),
        ("target.preload_referral/1", {}, {"code": "DNL"}, "2026-11-05T13:00:00.123Z"),
        ("target.preload_referral/1", {}, {"code": "RFI"}, "2026-11-05T20:00:00.123Z"),
        (
            "ops.asset_request/1",
            {"precedence": "IMMEDIATE"},
            {"from": "2026-11-05T13:30:00Z"},
            "2026-11-05T13:30:00.000Z",
        ),
        ("invest.deconfliction/1", {"precedence": "PRIORITY"}, {}, "2026-11-06T12:00:00.123Z"),
        ("invest.deconfliction/1", {**ANSWER, "precedence": "PRIORITY"}, {}, None),
        # Twelve hours before the delivery begins, or two days.
        (CONTROLLED, {"precedence": "IMMEDIATE"}, {}, "2026-11-07T12:00:00.123Z"),
        (
            CONTROLLED,
            {"precedence": "IMMEDIATE"},
            {"window_from": "2026-11-07T06:00:00Z"},
            "2026-11-06T18:00:00.000Z",
        ),
        # So near that the twelve hours have begun: until it begins.
        (
            CONTROLLED,
            {"precedence": "IMMEDIATE"},
            {"window_from": "2026-11-06T00:00:00.123Z"},
            "2026-11-06T00:00:00.123Z",
        ),
        ("intel.spontaneous/1", {"precedence": "ROUTINE"}, {}, None),
    ],
)
def test_the_deadline_of_an_answer_follows_the_terms(
    type_id: str, header: dict[str, Any], payload: dict[str, Any], due: str | None
) -> None:
    completed = finish({"type": type_id, "header": header, "payload": payload}).document

    assert completed["header"].get("reply_by") == due


def test_the_header_has_the_order_of_its_schema() -> None:
    header = header_of({"zz": 1, "language": "fr", "precedence": "ROUTINE"})

    order = [name for name in REFERRAL["header"] if name in header]
    assert [name for name in header if name in order] == order
    assert list(header)[-1] == "zz"


def test_a_draft_without_header_gets_one() -> None:
    document = finish({"type": "intel.spontaneous/1", "payload": {"summary": "S"}}).document

    assert list(document) == ["type", "header", "payload"]


@pytest.mark.parametrize(
    "draft",
    [
        {},
        {"type": "intel.rumour/1", "header": {}, "payload": {}},
        {"type": ["intel.spontaneous/1"], "header": {}, "payload": {}},
        {"type": "intel.spontaneous/1", "header": [], "payload": {}},
        {"type": "intel.spontaneous/1", "header": {}, "payload": None},
        {"type": "intel.spontaneous/1", "header": {}},
    ],
    ids=repr,
)
def test_what_is_no_draft_is_left_for_the_schema_to_refuse(draft: dict[str, Any]) -> None:
    completed = finish(draft)

    assert completed.document is draft
    assert examine_document(completed.document, catalogue=CATALOGUE, now_ms=NOW) != ()


FIELDS = list(REFERRAL["header"])
NONSENSE: list[Any] = [
    None,
    0,
    "",
    "x",
    [],
    ["x"],
    [[]],
    {},
    {"x": 1},
    {"level": {}, "categories": 1, "id": []},
]


@pytest.mark.parametrize("field", FIELDS)
def test_nonsense_in_a_header_stays_and_is_refused(field: str) -> None:
    for nonsense in NONSENSE:
        document = finish({"type": REFERRAL["type"], "header": {field: nonsense}, "payload": {}}).document

        given = document["header"][field]
        assert given == nonsense or (isinstance(nonsense, dict) and given.items() >= nonsense.items())
        assert examine_document(document, catalogue=CATALOGUE, now_ms=NOW) != ()


@pytest.mark.parametrize(
    "created_at",
    [
        "0000-01-01T00:00:00Z",
        "1000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "2101-01-01T00:00:00Z",
        "2026-11-05T12:00:00",
        "2026-11-05",
        "soon",
    ],
)
def test_an_impossible_time_of_creation_stays_and_is_refused(created_at: str) -> None:
    draft = {"type": "intel.spontaneous/1", "header": {"created_at": created_at}, "payload": {"summary": "S"}}

    document = finish(draft).document

    assert document["header"]["created_at"] == created_at
    assert examine_document(document, catalogue=CATALOGUE, now_ms=NOW) != ()
