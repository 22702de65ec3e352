"""Errors as RFC 9457 problems."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import gateway.node
from gateway.core.message.violation import Violation
from gateway.core.message.wording import Wording
from gateway.errors import (
    GatewayError,
    OperatorError,
    PeerError,
    RejectedError,
    StoreError,
    UnavailableError,
)
from gateway.node.refusal import RefusedError
from gateway.web.problem_table import PROBLEMS, Problem
from gateway.web.problems import body_of, document_of, headers_of, language_of, problem_of
from gateway.web.refusals import BadParameter, MethodNotAllowedError, ParameterError

SECRET = "P1234567"


def node_errors() -> Iterator[type[GatewayError]]:
    """Yield every error that the node defines for its callers."""
    for module in pkgutil.iter_modules(gateway.node.__path__):
        for value in vars(importlib.import_module(f"gateway.node.{module.name}")).values():
            if (
                isinstance(value, type)
                and issubclass(value, RejectedError | UnavailableError)
                and value.__module__ == f"gateway.node.{module.name}"
            ):
                yield value


@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=list(PROBLEMS))
def test_every_problem_is_told_in_both_languages(problem: Problem) -> None:
    assert 400 <= problem.status <= 507
    for wording in (problem.title, problem.detail):
        assert wording.en
        assert wording.fr
    assert problem.detail.en != problem.detail.fr
    assert problem.detail.en.endswith(".")
    assert problem.detail.fr.endswith(".")


@pytest.mark.parametrize("kind", list(node_errors()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_node_that_a_caller_can_mend_has_a_problem_of_its_own(
    kind: type[GatewayError],
) -> None:
    assert kind.code in PROBLEMS


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RejectedError(SECRET), 422),
        (PeerError(SECRET), 422),
        (UnavailableError(SECRET), 503),
        (OperatorError(SECRET), 503),
        (StoreError(SECRET), 503),
        (GatewayError(SECRET), 500),
        (ValueError(SECRET), 500),
        (KeyboardInterrupt(SECRET), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_without_a_line_stands_for_its_family_and_its_text_stays_inside(
    error: BaseException, status: int
) -> None:
    assert problem_of(error).status == status
    assert SECRET.encode() not in body_of(error, "en")


def test_violations_come_with_rule_place_and_the_readers_words() -> None:
    wording = Wording(en="expected this", fr="attendu ceci")
    error = RefusedError(
        [
            Violation(rule="H-01", pointer="/header", wording=wording),
            Violation(rule="SCHEMA", pointer="/payload/a", wording=wording),
        ]
    )

    assert document_of(error, "fr")["errors"] == [
        {"pointer": "/header", "rule": "H-01", "message": "attendu ceci"},
        {"pointer": "/payload/a", "rule": "SCHEMA", "message": "attendu ceci"},
    ]


def test_parameters_are_named_but_unknown_ones_are_not_repeated() -> None:
    wording = Wording(en="no", fr="non")
    error = ParameterError(
        [BadParameter(name="limit", expected=wording), BadParameter(name="", expected=wording)]
    )

    assert [item["message"] for item in document_of(error, "en")["errors"]] == ["limit: no", "no"]


def test_retry_after_goes_with_busy_and_unavailable_only() -> None:
    assert headers_of(UnavailableError("x", retry_after_s=7)) == (("Retry-After", "7"),)
    assert headers_of(UnavailableError("x", retry_after_s=0)) == (("Retry-After", "1"),)
    assert headers_of(StoreError("x"))[0][0] == "Retry-After"
    assert headers_of(RejectedError("x")) == ()
    assert headers_of(MethodNotAllowedError(["GET", "POST"])) == (("Allow", "GET, POST"),)


def test_the_problem_of_a_line_that_may_come_again_says_when() -> None:
    # A line of a batch has no header.
    assert document_of(UnavailableError("x", retry_after_s=7), "en")["retry_after"] == 7
    assert document_of(UnavailableError("x", retry_after_s=0), "en")["retry_after"] == 1
    assert "retry_after" not in document_of(RejectedError("x"), "en")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("fr", "fr"),
        ("FR-ca", "fr"),
        ("fr;q=0.4, en;q=0.5", "en"),
        ("fr ; q=0.6 , en;q=0.5", "fr"),
        ("en, fr", "en"),
        ("fr;q=1.5", "en"),
        ("fr;q=0.1234", "en"),
        ("\ud800", "en"),
        ("fr" + " " * 300, "en"),
    ],
)
def test_the_language_is_the_better_of_two(header: str | None, language: str) -> None:
    assert language_of(header) == language
