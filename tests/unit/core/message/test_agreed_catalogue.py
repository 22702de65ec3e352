"""The folder says what the two nations agreed on: field by field, term by term.

The catalogue was agreed on as one table; `tests/vectors/catalogue.json` keeps a copy, and
`schemas/` was made from it. These tests read each field of the folder back into the words
of that table and compare. The folder is the source now: where it has to differ, the place
and the reason stand in `DIFFERENCES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.rules import RESERVED, RULES
from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, follow

CATALOGUE: Final = read_catalogue()
AGREED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "catalogue.json").read_text(encoding="utf-8")
)
TYPES: Final[dict[str, dict[str, Any]]] = {agreed["id"]: agreed for agreed in AGREED["types"]}
PRESENT: Final = [type_id for type_id in TYPES if CATALOGUE.find(type_id) is not None]

DIFFERENCES: Final[Mapping[str, str]] = {
    "Header schema_version": "\\d is written [0-9]: some engines read other digits into it",
}
"""Field (``type field`` or ``Block field``) whose form differs from the table on purpose, and why."""

FORMATS: Final = {
    "aba": "aba_routing",
    "any": "scalar",
    "b64t": "match_token",
    "bic": "bic",
    "cas": "cas",
    "container": "container_number",
    "country2": "country",
    "country3": "state",
    "currency": "currency",
    "date": "date",
    "dec": "decimal",
    "docno": "document_number",
    "flight": "flight_number",
    "hs": "hs_code",
    "iata3": "airport",
    "iban": "iban",
    "imo": "imo",
    "lat": "latitude",
    "lon": "longitude",
    "mmsi": "mmsi",
    "mrz": "mrz",
    "name": "latin_name",
    "officer": "officer_ref",
    "pdate": "partial_date",
    "ref": "local_name",
    "sha256": "sha256",
    "token": "unit_name",
    "ts": "timestamp",
    "unlocode": "unlocode",
    "uuid7": "uuid7",
    "vin": "vin",
}
"""File in ``schemas/formats/`` by the word for it in the table."""

LISTS: Final = {
    "countries2": "country",
    "countries3": "state",
    "hslist": "hs_code",
    "refs": "local_name",
    "unlocodes": "unlocode",
    "urls": "https_url",
    "uuids": "uuid7",
}
"""Format of the entries by the word for a list of them in the table."""


# --- One field, in words that both sides can be put into ---------------------------------


def agreed_field(kind: str) -> str:
    """Return what the table says about a field, in the words of this module."""
    word, _, rest = kind.partition(":")
    if word == "pattern":
        return f"pattern {rest}"
    parts = rest.split(":")
    if word == "text":
        return f"text up to {rest}"
    if word == "texts":
        return f"{parts[1]} to {parts[2]} of (text up to {parts[0]})"
    if word == "code":
        return f"code {rest.lower()}"
    if word == "codes":
        return f"{parts[1]} to {parts[2]} different of (code {parts[0].lower()})"
    if word == "block":
        return f"block {block_file(rest)}"
    if word == "list":
        return f"{parts[1]} to {parts[2]} of (block {block_file(parts[0])})"
    if word == "nations3":
        return "1 to 8 of (nation_alpha3)"
    if word in LISTS:
        return f"{parts[0]} to {parts[1]} of ({LISTS[word]})"
    if word == "int":
        return f"integer {parts[0]} to {parts[1]}"
    return {"bool": "boolean", "const": f"constant {rest}"}.get(word) or FORMATS[word]


def block_file(name: str) -> str:
    """Return the file of a building block: ``AltLabel`` is ``alt_label``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def written_field(documents: Mapping[str, Any], identifier: str, field: Mapping[str, Any]) -> str:
    """Return what the folder says about a field, in the same words."""
    longest = field.get("maxLength")
    while "$ref" in field:
        identifier, field = follow(documents, identifier, field["$ref"])
        folder, _, name = identifier.removeprefix(SCHEMA_BASE).removesuffix(".json").rpartition("/")
        if name == "text":
            return f"text up to {longest}"
        return {"codes": f"code {name}", "common": f"block {name}"}.get(folder, name)
    if field.get("type") == "array":
        items = written_field(documents, identifier, field["items"])
        different = " different" if field.get("uniqueItems") else ""
        return f"{field.get('minItems', 0)} to {field['maxItems']}{different} of ({items})"
    if "const" in field:
        return f"constant {json.dumps(field['const'])}"
    if "pattern" in field:
        return f"pattern {field['pattern']}"
    if field.get("type") == "integer":
        return f"integer {field['minimum']} to {field['maximum']}"
    return str(field["type"])


def compare(
    owner: str,
    agreed: list[list[Any]],
    written: Mapping[str, Any],
    documents: Mapping[str, Any],
    identifier: str,
) -> None:
    """Hold the fields of an object of the folder against the table's lines for it."""
    assert list(written["properties"]) == [line[0] for line in agreed], owner
    required = [line[0] for line in agreed if line[2] == "R"]
    assert sorted(written.get("required", ())) == sorted(required), owner
    assert written["additionalProperties"] is False
    for name, kind, *_ in agreed:
        if f"{owner} {name}" not in DIFFERENCES:
            found = written_field(documents, identifier, written["properties"][name])
            assert found == agreed_field(kind), f"{owner} {name}"


# --- What is there -----------------------------------------------------------------------


def test_no_type_is_absent() -> None:
    absent = [type_id for type_id in TYPES if type_id not in PRESENT]

    assert absent == []


def test_the_table_is_whole() -> None:
    assert len(TYPES) == 61
    assert sum(len(agreed["fields"]) for agreed in TYPES.values()) == 483
    assert len(AGREED["blocks"]) == 44
    assert len(AGREED["codes"]) == 116
    assert sum(len(codes) for codes in AGREED["codes"].values()) == 718


def test_each_difference_is_of_a_field_that_there_is() -> None:
    owners = AGREED["blocks"] | {type_id: agreed["fields"] for type_id, agreed in TYPES.items()}
    places = {f"{owner} {line[0]}" for owner, lines in owners.items() for line in lines}

    assert set(DIFFERENCES) <= places


# --- Fields ------------------------------------------------------------------------------


@pytest.mark.parametrize("type_id", PRESENT)
def test_a_payload_has_the_agreed_fields(type_id: str) -> None:
    written = CATALOGUE.type(type_id)
    payload = written.schema["properties"]["payload"]

    compare(type_id, TYPES[type_id]["fields"], payload, written.documents, written.schema["$id"])


DOCUMENTS: Final = {
    identifier: document
    for message_type in CATALOGUE.types.values()
    for identifier, document in message_type.documents.items()
}
"""Every schema document that a type of the folder uses, by ``$id``."""


def block_id(name: str) -> str:
    return f"{SCHEMA_BASE}common/{block_file(name)}.json"


@pytest.mark.parametrize("name", [name for name in AGREED["blocks"] if block_id(name) in DOCUMENTS])
def test_a_building_block_has_the_agreed_fields(name: str) -> None:
    compare(name, AGREED["blocks"][name], DOCUMENTS[block_id(name)], DOCUMENTS, block_id(name))


def test_every_type_has_the_header_and_only_the_agreed_blocks() -> None:
    agreed = {block_id(name) for name in AGREED["blocks"]}
    for message_type in CATALOGUE.types.values():
        used = {identifier for identifier in message_type.documents if "/common/" in identifier}
        assert HEADER_ID in used
        assert used <= agreed


def test_code_lists_are_those_agreed() -> None:
    found = {
        identifier.removeprefix(SCHEMA_BASE + "codes/").removesuffix(".json").upper(): document["enum"]
        for identifier, document in DOCUMENTS.items()
        if "/codes/" in identifier
    }

    assert found == {name: list(AGREED["codes"][name]) for name in found}


# --- Terms -------------------------------------------------------------------------------


def may_be_asked(reply_id: str, side: int) -> frozenset[str]:
    """Return who may receive what this type answers, and so may send it though the table says less."""
    name = reply_id.removesuffix("/1")
    asked = (agreed for agreed in TYPES.values() if name in dict(agreed["replies"]))
    return frozenset(agency for agreed in asked for agency in agreed["pairs"][side])


@pytest.mark.parametrize("type_id", PRESENT)
def test_terms_are_those_agreed(type_id: str) -> None:
    agreed, terms = TYPES[type_id], CATALOGUE.type(type_id).terms

    assert terms.pattern == agreed["pattern"]
    assert agreed["direction"] == "both"
    assert dict(terms.agencies) == {
        nation: frozenset(agreed["pairs"][side]) | may_be_asked(type_id, side)
        for side, nation in enumerate(("FR", "US"))
    }
    assert terms.reply_to == set(agreed["reply_to"])
    assert list(terms.replies) == [f"{name}/1" for name, _ in agreed["replies"]]
    assert terms.purposes == set(agreed["purposes"])
    assert terms.legal_bases == tuple(agreed["basis"])
    assert terms.personal_data == set(agreed["pd"])
    assert terms.keep_days == agreed["keep"]
    assert (terms.awaits, terms.evaluation, terms.no_personal_data, terms.flash, terms.threads) == (
        agreed["awaits"],
        agreed["eval"],
        agreed["no_pii"],
        agreed["flash"],
        agreed["threads"],
    )


def durations(text: str) -> list[str]:
    """Return the lengths of time in a text, in the order they stand there: ``30 d``, ``4 h``, ``15 min``."""
    return [
        f"{number} {unit[0].replace('j', 'd')}"
        for number, unit in re.findall(r"(\d+) ?(d|h|min|days?|jours?)\b", text)
    ]


@pytest.mark.parametrize("type_id", PRESENT)
def test_deadlines_are_those_agreed_in_both_languages(type_id: str) -> None:
    written = CATALOGUE.type(type_id).terms.replies
    for name, deadline in TYPES[type_id]["replies"]:
        for text in (written[f"{name}/1"].en, written[f"{name}/1"].fr):
            assert durations(text) == durations(deadline), f"{name}: {text}"


@pytest.mark.parametrize("type_id", PRESENT)
def test_a_draft_s_deadline_fits_what_is_agreed(type_id: str) -> None:
    """The node asks for an answer within one of the times agreed, where any is."""
    terms, agreed = CATALOGUE.type(type_id).terms, TYPES[type_id]
    assert (terms.reply_by is not None) == agreed["awaits"]
    if terms.reply_by is None:
        return
    for code, minutes in terms.reply_by.minutes.items():
        assert 0 < minutes <= 30 * 24 * 60, code
    if terms.reply_by.field == "/header/precedence":
        allowed = {"IMMEDIATE", "PRIORITY", "ROUTINE"} | ({"FLASH"} if terms.flash else set())
        assert set(terms.reply_by.minutes) <= allowed


@pytest.mark.parametrize("type_id", PRESENT)
def test_rules_that_a_type_brings_have_a_number(type_id: str) -> None:
    assert set(TYPES[type_id]["rules"]) <= {rule.id for rule in RULES} | set(RESERVED.values())


# --- Tables and agreement ----------------------------------------------------------------


@pytest.mark.parametrize("name", list(AGREED["tables"]))
def test_tables_are_those_agreed(name: str) -> None:
    written = json.loads((catalogue_folder() / "tables" / f"{name}.json").read_text(encoding="utf-8"))

    agreed = AGREED["tables"][name]
    assert written["values"] == (sorted(agreed) if isinstance(agreed, list) else agreed)


def test_the_agreement_names_the_bases_that_do_not_suffice() -> None:
    assert sorted(CATALOGUE.agreement.no_transfer_bases) == sorted(AGREED["no_transfer_basis"])


def test_the_agreement_knows_the_agreed_agencies() -> None:
    assert set(CATALOGUE.agreement.agency_nation) == set(AGREED["codes"]["AGENCY"])
