"""The catalogue's files hold what people and tools expect of them.

These tests look at every file there is, so a new type is tested by adding it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.compiled import compile_schema
from gateway.core.message.registry import MessageType
from gateway.core.message.schema_check import schema_violations, unknown_type
from gateway.core.message.schema_documents import bundle
from gateway.core.message.strict_json import JsonRefusedError, parse_json

FOLDER = catalogue_folder()
CATALOGUE = read_catalogue()
SCHEMAS = {
    path.relative_to(FOLDER).as_posix(): orjson.loads(path.read_bytes())
    for path in sorted(FOLDER.rglob("*.json"))
    if "examples" not in path.parts and b'"$id"' in path.read_bytes()
}
MESSAGES = {path: schema for path, schema in SCHEMAS.items() if not path.endswith(".schema.json")}
EXAMPLES = sorted(FOLDER.glob("*/examples/*.json"))


def fields(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field definition of a schema, with a path for people."""
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{path}/{name}", field
            yield from fields(field, f"{path}/{name}")


def example_name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", MESSAGES)
def test_every_schema_and_field_speaks_english_and_french(path: str) -> None:
    schema = MESSAGES[path]
    needed = {"title", "x-title-fr"}
    if not path.startswith("codes/"):
        needed |= {"description", "x-description-fr"}
    assert all(schema.get(keyword) for keyword in needed)

    for name, field in fields(schema):
        if name == "/header":
            continue  # the common header has them
        texts = [field.get(k) for k in ("title", "x-title-fr", "description", "x-description-fr")]
        assert all(texts), name
        assert texts[2] != texts[3], f"{name} is not translated"


@pytest.mark.parametrize("path", [path for path in SCHEMAS if path.startswith("codes/")])
def test_every_code_has_labels_in_both_languages(path: str) -> None:
    schema = SCHEMAS[path]

    assert list(schema["x-labels"]) == schema["enum"]
    assert all(label["en"] and label["fr"] for label in schema["x-labels"].values())


@pytest.mark.parametrize("path", SCHEMAS)
def test_every_object_refuses_unknown_fields_and_every_pattern_is_anchored(path: str) -> None:
    def look(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node:
                assert node["additionalProperties"] is False
                assert set(node.get("required", ())) <= set(node["properties"])
            pattern = node.get("pattern")
            if isinstance(pattern, str):
                # One alternative of a pattern must not escape its anchors.
                for alternative in _alternatives(pattern):
                    assert alternative.startswith("^"), pattern
                    assert alternative.endswith("$"), pattern
            if node.get("type") == "string" and "enum" not in node:
                assert "pattern" in node or path.endswith(".schema.json"), path
            if node.get("type") == "array":
                assert "maxItems" in node or path.endswith(".schema.json"), path
            for child in node.values():
                look(child)
        elif isinstance(node, list):
            for child in node:
                look(child)

    look(SCHEMAS[path])


def _alternatives(pattern: str) -> list[str]:
    """Split a pattern at the bars that stand outside all brackets."""
    bare = re.sub(r"\[[^]]*\]", lambda match: "_" * len(match[0]), pattern)
    depth, parts, start = 0, [], 0
    for index, character in enumerate(bare):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            parts.append(pattern[start:index])
            start = index + 1
    return [*parts, pattern[start:]]


def test_no_shared_file_is_unused() -> None:
    used = {file for message_type in CATALOGUE.types.values() for file in message_type.files}
    shared = {path for path in SCHEMAS if path.split("/")[0] in {"common", "codes", "formats"}}

    assert shared - used == set()


@pytest.mark.parametrize("message_type", CATALOGUE.types.values(), ids=list(CATALOGUE.types))
def test_the_sample_values_in_a_schema_satisfy_it(message_type: MessageType) -> None:
    for identifier, document in message_type.documents.items():
        for name, field in fields(document):
            checker = _field_checker(message_type, identifier, field)
            assert all(checker(sample) for sample in field.get("examples", ())), name


def _field_checker(
    message_type: MessageType, identifier: str, field: dict[str, Any]
) -> Callable[[Any], bool]:
    """Return a check of one value against one field of a document."""
    if "examples" not in field:
        return lambda _: True
    schema = {
        "$schema": message_type.schema["$schema"],
        # In the folder of its document, so that its references lead to the same files.
        "$id": identifier.removesuffix(".json") + "-field.json",
        **field,
    }
    return compile_schema(bundle(schema, message_type.documents)).is_valid


def test_agency_codes_nations_and_names_agree() -> None:
    labels = SCHEMAS["codes/agency.json"]["x-labels"]
    agreement = CATALOGUE.agreement

    assert {code: {"en": w.en, "fr": w.fr} for code, w in agreement.agency_names.items()} == labels
    assert all(code.startswith(nation + ".") for code, nation in agreement.agency_nation.items())
    assert all(
        code.startswith(superior + ".") and agreement.agency_nation[superior] == agreement.agency_nation[code]
        for code, superior in agreement.superiors.items()
    )


def test_equivalent_markings_exist_and_never_protect_less() -> None:
    agreement = CATALOGUE.agreement
    other = {"FR": "US", "US": "FR"}

    for policy, levels in agreement.levels.items():
        assert list(agreement.equivalence[policy]) == list(levels)
        for level, equivalent in agreement.equivalence[policy].items():
            assert equivalent in agreement.levels[other[policy]]
            assert agreement.rank[equivalent] >= agreement.rank[level]


def test_every_precedence_is_slower_than_the_one_before() -> None:
    precedences = [CATALOGUE.agreement.precedences[code] for code in SCHEMAS["codes/precedence.json"]["enum"]]

    assert [p.deliver_minutes for p in precedences] == sorted(p.deliver_minutes for p in precedences)
    assert [p.answer_minutes for p in precedences] == sorted(p.answer_minutes for p in precedences)
    assert all(p.deliver_minutes <= p.expires_hours * 60 <= 30 * 24 * 60 for p in precedences)


def test_answers_and_what_they_answer_name_each_other() -> None:
    for message_type in CATALOGUE.types.values():
        for reply in message_type.terms.replies:
            known = CATALOGUE.find(reply)
            if known is not None and known.terms.reply_to:
                assert message_type.id in known.terms.reply_to, f"{reply} answers {message_type.id}"


@pytest.mark.parametrize("message_type", CATALOGUE.types.values(), ids=list(CATALOGUE.types))
def test_every_type_has_a_valid_example(message_type: MessageType) -> None:
    name, _, version = message_type.id.partition("/")
    examples = (FOLDER / name / "examples").glob("valid-*.json")

    assert any(orjson.loads(path.read_bytes())["type"] == f"{name}/{version}" for path in examples)


@pytest.mark.parametrize("path", EXAMPLES, ids=example_name)
def test_an_example_has_the_verdict_in_its_name(path: Path) -> None:
    """JSON and SCHEMA here; what breaks another rule satisfies the schema."""
    body = path.read_bytes()
    if path.stem.startswith("invalid-json-"):
        with pytest.raises(JsonRefusedError):
            parse_json(body)
        return
    document = parse_json(body)
    message_type = CATALOGUE.find(document["type"])
    if message_type is None:
        assert path.stem == "invalid-schema-unknown-message-type"
        assert unknown_type(CATALOGUE).pointer == "/type"
        return
    violations = schema_violations(document, message_type, CATALOGUE)
    assert bool(violations) == path.stem.startswith("invalid-schema-"), violations
    assert len({violation.pointer for violation in violations}) <= 1
