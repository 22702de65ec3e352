"""The description of the agency API."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from gateway.api.app import agency_routes
from gateway.api.openapi import openapi_document
from gateway.api.operations import OPERATIONS
from gateway.core.message.wording import Language
from gateway.web.problem_table import PROBLEMS
from tests.unit.api.services import FakeServices

TYPES = ("assist.request/1", "assist.ack/1")


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return found + [ref for child in node.values() for ref in references(child)]
    if isinstance(node, list):
        return [ref for child in node for ref in references(child)]
    return []


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_reference_leads_somewhere(language: Language) -> None:
    document = openapi_document(TYPES, language)
    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_component_is_a_json_schema(language: Language) -> None:
    for name, schema in openapi_document(TYPES, language)["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


def test_every_operation_has_a_route_and_every_route_an_operation() -> None:
    document = openapi_document(TYPES, "en")
    described = {
        (method.upper(), path, operation["operationId"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    routes = {(route.method, route.path, route.name) for route in agency_routes(FakeServices())}

    assert routes == described
    assert len(described) == len(OPERATIONS)


def test_every_operation_is_described_in_both_languages() -> None:
    for operation in OPERATIONS:
        for wording in (operation.title, operation.text):
            assert wording.en
            assert wording.fr
        for parameter in operation.parameters:
            assert parameter.text.en
            assert parameter.text.fr


def test_every_status_of_a_problem_is_described() -> None:
    responses = openapi_document(TYPES, "en")["components"]["responses"]

    assert set(responses) == {str(problem.status) for problem in PROBLEMS.values()}
    for problem in PROBLEMS.values():
        assert f"`{problem.code}`" in responses[str(problem.status)]["description"]


def test_every_operation_says_which_problems_it_has() -> None:
    document = openapi_document(TYPES, "en")
    post = document["paths"]["/v1/messages"]["post"]["responses"]

    assert set(post) == {
        "202",
        "400",
        "403",
        "408",
        "409",
        "413",
        "415",
        "417",
        "422",
        "429",
        "500",
        "503",
        "507",
    }


def test_examples_of_problems_satisfy_their_schema() -> None:
    document = openapi_document(TYPES, "fr")
    checker = jsonschema_rs.Draft202012Validator(document["components"]["schemas"]["Problem"])

    for response in document["components"]["responses"].values():
        checker.validate(response["content"]["application/problem+json"]["example"])
