"""A catalogue is read whole and consistent, or refused with the file that is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson
import pytest

from gateway.catalogue import catalogue_folder
from gateway.core.message.registry import Catalogue, CatalogueError, UnknownTypeError

Files = dict[str, bytes]
REFERRAL = "target.cargo_referral/1"


@pytest.fixture(scope="module")
def files() -> Files:
    folder = catalogue_folder()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


@pytest.fixture(scope="module")
def catalogue(files: Files) -> Catalogue:
    return Catalogue.from_files(files)


def changed(files: Files, path: str, change: Callable[[dict[str, Any]], object]) -> Files:
    document = orjson.loads(files[path])
    change(document)
    return {**files, path: orjson.dumps(document)}


def test_every_folder_with_a_schema_is_a_type(catalogue: Catalogue, files: Files) -> None:
    folders = {path.split("/")[0] for path in files if path.endswith("/1.terms.json")}

    assert {type_id.split("/")[0] for type_id in catalogue.types} == folders
    assert len(folders) >= 13


def test_a_type_knows_titles_terms_and_files(catalogue: Catalogue) -> None:
    referral = catalogue.type(REFERRAL)

    assert referral.title("en") == "Cargo targeting referral"
    assert referral.title("fr") == "Signalement de ciblage fret"
    assert referral.terms.agencies == {
        "FR": frozenset({"FR.DGDDI.SARC"}),
        "US": frozenset({"US.CBP.NTC"}),
    }
    assert referral.terms.awaits
    assert referral.terms.keep_days == 1095
    assert "assist.ack/1" in referral.terms.replies
    assert {"common/header.json", "codes/area.json", "agreement.json", "tables/currency.json"} <= set(
        referral.files
    )
    assert "common/answer.json" not in referral.files


def test_the_agreement_gives_markings_agencies_and_tables(catalogue: Catalogue) -> None:
    agreement = catalogue.agreement

    assert agreement.levels["FR"] == ("NON_PROTEGE", "DIFFUSION_RESTREINTE", "SECRET", "TRES_SECRET")
    assert (agreement.rank["CUI"], agreement.ceiling) == (1, 1)
    assert agreement.equivalence["US"]["CONFIDENTIAL"] == "SECRET"
    assert agreement.superiors == {
        "FR.DGDDI.SARC": "FR.DGDDI",
        "FR.DGDDI.DNRED": "FR.DGDDI",
        "FR.DGDDI.DNGCD": "FR.DGDDI",
        "US.CBP.NTC": "US.CBP",
        "US.CBP.AMO": "US.CBP",
        "US.CBP.OT": "US.CBP",
        "US.CBP.LSS": "US.CBP",
    }
    assert agreement.no_transfer_bases == {"UMBRELLA_2016", "JDI_2024"}
    assert agreement.precedences["FLASH"].answer_minutes == 30
    assert (agreement.currency["JPY"], agreement.iban_len["FR"]) == (0, 27)
    assert {"FR", "US"} <= agreement.iso2
    assert "US" not in agreement.eu
    assert "437-38-7" in agreement.fentanyls
    assert agreement.type_ids == set(catalogue.types)


def test_an_unknown_type_is_refused_without_naming_it(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownTypeError) as refusal:
        catalogue.type("intel.rumour/1")

    assert "rumour" not in str(refusal.value)
    assert catalogue.find("intel.rumour/1") is None
    assert catalogue.find(["anything"]) is None


def test_the_digest_of_a_type_can_be_repeated_with_sha384sum(catalogue: Catalogue, files: Files) -> None:
    referral = catalogue.type(REFERRAL)

    printed = "".join(f"{hashlib.sha384(files[path]).hexdigest()}  {path}\n" for path in referral.files)

    assert list(referral.files) == sorted(referral.files)
    assert referral.digest == hashlib.sha384(printed.encode()).digest()


@pytest.mark.parametrize(
    "path",
    [
        "target.cargo_referral/1.json",
        "target.cargo_referral/1.terms.json",
        "common/header.json",
        "common/consignment.json",
        "codes/cargo_action.json",
        "formats/container_number.json",
        "tables/iso2.json",
        "agreement.json",
    ],
)
def test_every_file_that_decides_about_a_type_changes_its_digest(
    catalogue: Catalogue, files: Files, path: str
) -> None:
    other = Catalogue.from_files({**files, path: files[path] + b" "})

    assert other.type(REFERRAL).digest != catalogue.type(REFERRAL).digest
    assert other.digest != catalogue.digest


@pytest.mark.parametrize(
    "path", ["seizure.report/1.json", "seizure.report/1.terms.json", "common/firearm.json"]
)
def test_files_of_other_types_leave_a_digest_alone(catalogue: Catalogue, files: Files, path: str) -> None:
    other = Catalogue.from_files({**files, path: files[path] + b" "})

    assert other.type(REFERRAL).digest == catalogue.type(REFERRAL).digest
    assert other.digest != catalogue.digest


def test_examples_and_other_files_change_nothing(catalogue: Catalogue, files: Files) -> None:
    other = Catalogue.from_files(
        {**files, "README.md": b"text", "target.cargo_referral/examples/valid-x.json": b"no JSON"}
    )

    assert other.digest == catalogue.digest


def test_a_type_is_added_by_adding_files(catalogue: Catalogue, files: Files) -> None:
    schema = orjson.loads(files["seizure.report/1.json"])
    schema["$id"] = schema["$id"].replace("seizure.report/1", "seizure.note/2")
    schema["properties"]["type"]["const"] = "seizure.note/2"
    terms = {**orjson.loads(files["seizure.report/1.terms.json"]), "type": "seizure.note/2"}

    other = Catalogue.from_files(
        {
            **files,
            "seizure.note/2.json": orjson.dumps(schema),
            "seizure.note/2.terms.json": orjson.dumps(terms),
        }
    )

    assert set(other.types) == {*catalogue.types, "seizure.note/2"}
    assert all(other.type(known).digest == catalogue.type(known).digest for known in catalogue.types)


def test_the_bundled_schema_needs_no_other_file(catalogue: Catalogue, files: Files) -> None:
    for message_type in catalogue.types.values():
        name = message_type.id.split("/")[0]
        alone = jsonschema_rs.Draft202012Validator(
            orjson.loads(orjson.dumps(message_type.bundled)), offline=True, validate_formats=True
        )
        for path, content in files.items():
            if path.startswith(f"{name}/examples/valid-"):
                alone.validate(orjson.loads(content))
        assert not alone.is_valid({})


def test_the_folder_serves_other_tools_through_its_ids(files: Files) -> None:
    resources = [
        (document["$id"], document)
        for path, content in files.items()
        if "/examples/" not in path and "$id" in (document := orjson.loads(content))
    ]
    registry = jsonschema_rs.Registry(resources)
    schema = orjson.loads(files["target.cargo_referral/1.json"])

    tool = jsonschema_rs.Draft202012Validator(schema, registry=registry, offline=True)

    example = files["target.cargo_referral/examples/valid-02-target-cargo-referral.json"]
    tool.validate(orjson.loads(example))


def drop(path: str) -> Callable[[Files], Files]:
    return lambda files: {name: content for name, content in files.items() if name != path}


def edit(path: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Files], Files]:
    return lambda files: changed(files, path, change)


SCHEMA = "target.cargo_referral/1.json"
TERMS = "target.cargo_referral/1.terms.json"

BROKEN: list[tuple[str, Callable[[Files], Files], str]] = [
    ("no files at all", lambda _: {}, "agreement.json is missing"),
    ("no agreement", drop("agreement.json"), "agreement.json is missing"),
    ("no schema of terms", drop("terms.schema.json"), "terms.schema.json is missing"),
    ("no terms", drop(TERMS), f"{TERMS} is missing"),
    ("a missing block", drop("common/consignment.json"), "consignment.json"),
    ("a missing code list", drop("codes/area.json"), "area.json"),
    ("a missing table", drop("tables/iso2.json"), "tables/iso2.json"),
    ("no type at all", lambda files: {p: c for p, c in files.items() if "." not in p.split("/")[0]}, ""),
    ("a file that is no JSON", lambda files: {**files, "common/x.json": b"{"}, "common/x.json is no JSON"),
    ("a file that is no object", lambda files: {**files, "common/x.json": b"[]"}, "common/x.json must hold"),
    (
        "a file under another id",
        edit("common/seal.json", lambda d: d.update({"$id": "https://example.org/seal.json"})),
        "common/seal.json: $id",
    ),
    (
        "another dialect",
        edit("common/seal.json", lambda d: d.update({"$schema": "http://json-schema.org/draft-07/schema#"})),
        "common/seal.json: $id",
    ),
    (
        "a reference to the network",
        edit(SCHEMA, lambda d: d["properties"].update(payload={"$ref": "https://example.org/x.json"})),
        "no file for the reference",
    ),
    (
        "a reference to a file outside",
        edit(SCHEMA, lambda d: d["properties"].update(payload={"$ref": "../../etc/passwd"})),
        "no file for the reference",
    ),
    (
        "a keyword with a wrong value",
        edit("common/seal.json", lambda d: d.update(required="number")),
        "no usable JSON Schema",
    ),
    (
        "a pattern that is no regular expression",
        edit("formats/imo.json", lambda d: d.update(pattern="(")),
        "no usable JSON Schema",
    ),
    (
        "a pattern that needs backtracking",
        edit("formats/imo.json", lambda d: d.update(pattern="^(a)\\1$")),
        "no usable JSON Schema",
    ),
    (
        "an unknown format",
        edit("formats/imo.json", lambda d: d.update(format="imo")),
        "no usable JSON Schema",
    ),
    (
        "a schema for another type",
        edit(SCHEMA, lambda d: d["properties"]["type"].update(const="target.cargo_referral/2")),
        "must name the type",
    ),
    ("terms for another type", edit(TERMS, lambda d: d.update(type="x.y/1")), "must name the type"),
    (
        "a header of its own",
        edit(SCHEMA, lambda d: d["properties"].update(header={"type": "object"})),
        "header must be the common header",
    ),
    (
        "a type without French title",
        edit(SCHEMA, lambda d: d.pop("x-title-fr")),
        "title and x-title-fr are required",
    ),
    ("an unknown term", edit(TERMS, lambda d: d.update(color="red")), f"{TERMS}: additionalProperties"),
    ("a missing term", edit(TERMS, lambda d: d.pop("keep_days")), f"{TERMS}: required"),
    ("an unknown purpose", edit(TERMS, lambda d: d.update(purposes=["FUN"])), f"{TERMS}: "),
    (
        "a type that awaits an answer and sets no deadline",
        edit(TERMS, lambda d: d.pop("reply_by")),
        f"{TERMS}: required",
    ),
    (
        "an agency of the other nation",
        edit(TERMS, lambda d: d["agencies"].update(FR=["US.CBP"])),
        "US.CBP is no agency of FR",
    ),
    (
        "an agency that could receive and not answer",
        edit(TERMS, lambda d: d["agencies"]["FR"].append("FR.SCL")),
        "target.disposition/1 must be open to every FR agency",
    ),
    (
        "an unknown level in the agreement",
        edit("agreement.json", lambda d: d["marking"]["levels"]["FR"][0].update(level="X")),
        "agreement.json: enum at /marking/levels/FR/0/level",
    ),
]


@pytest.mark.parametrize(("breaks", "reason"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_an_inconsistent_catalogue_is_refused(
    files: Files, breaks: Callable[[Files], Files], reason: str
) -> None:
    with pytest.raises(CatalogueError) as refusal:
        Catalogue.from_files(breaks(files))

    assert reason in str(refusal.value)
