from __future__ import annotations

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, verdict

CODES = "/header/handling/codes"
CONDITIONS = "/header/handling/conditions"
EVIDENCE = "/header/use/evidence"
DISSEMINATION = "/header/use/dissemination"
EVALUATION = "/header/evaluation"


@pytest.mark.parametrize("codes", [["H0", "H1"], ["H2", "H0"], ["H0", "H1", "H2"]])
def test_hd01_free_use_and_restrictions_exclude_each_other(codes: list[str]) -> None:
    assert verdict(changed("intel.spontaneous", {CODES: codes})) == {("HD-01", CODES)}


@pytest.mark.parametrize("codes", [["H0"], ["H1", "H2"], ["H2"]])
def test_codes_that_agree_are_good(codes: list[str]) -> None:
    assert verdict(changed("intel.spontaneous", {CODES: codes})) == set()


@pytest.mark.parametrize("changes", [{CODES: ["H3"]}, {CONDITIONS: "Ask first."}])
def test_hd02_h3_and_its_conditions_come_together(changes: dict[str, object]) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == {("HD-02", CONDITIONS)}


def test_h3_with_conditions_is_good_even_beside_h0() -> None:
    message = changed("intel.spontaneous", {CODES: ["H0", "H3"], CONDITIONS: "Ask first."})

    assert verdict(message) == set()


def test_hd03_h1_is_no_free_evidence() -> None:
    assert verdict(changed("intel.spontaneous", {EVIDENCE: "YES"})) == {("HD-03", EVIDENCE)}


@pytest.mark.parametrize(
    "changes", [{EVIDENCE: "NO"}, {EVIDENCE: "CONSENT"}, {EVIDENCE: "YES", CODES: ["H2"]}]
)
def test_evidence_by_consent_or_without_h1_is_good(changes: dict[str, object]) -> None:
    assert verdict(changed("intel.spontaneous", changes)) == set()


def test_hd04_h2_is_for_the_addressee_only() -> None:
    message = changed("intel.spontaneous", {DISSEMINATION: "NATIONAL_LE"})

    assert verdict(message) == {("HD-04", DISSEMINATION)}


def test_without_h2_the_receiver_may_share_at_home() -> None:
    assert verdict(changed("intel.spontaneous", {DISSEMINATION: "NATIONAL_LE", CODES: ["H1"]})) == set()


def test_ev01_intelligence_is_evaluated() -> None:
    assert verdict(changed("intel.spontaneous", {EVALUATION: ABSENT})) == {("EV-01", EVALUATION)}


def test_a_type_that_needs_no_evaluation_may_lack_it() -> None:
    assert "evaluation" not in changed("assist.request")["header"]
    assert verdict(changed("assist.request")) == set()


@pytest.mark.parametrize(
    ("scheme", "source", "information"),
    [("EU4X4", "D", "1"), ("EU4X4", "A", "5"), ("ADMIRALTY", "X", "1"), ("EU4X4", "F", "6")],
)
def test_ev02_a_grade_that_the_scheme_does_not_have_is_refused(
    scheme: str, source: str, information: str
) -> None:
    evaluation = {"scheme": scheme, "source": source, "information": information}

    assert verdict(changed("intel.spontaneous", {EVALUATION: evaluation})) == {("EV-02", EVALUATION)}


@pytest.mark.parametrize(
    ("scheme", "source", "information"),
    [("EU4X4", "X", "4"), ("EU4X4", "C", "1"), ("ADMIRALTY", "F", "6"), ("ADMIRALTY", "A", "1")],
)
def test_every_grade_of_a_scheme_is_good(scheme: str, source: str, information: str) -> None:
    evaluation = {"scheme": scheme, "source": source, "information": information}

    assert verdict(changed("intel.spontaneous", {EVALUATION: evaluation})) == set()


def test_ev02_examines_an_evaluation_that_the_type_does_not_need() -> None:
    evaluation = {"scheme": "EU4X4", "source": "D", "information": "1"}

    assert verdict(changed("assist.request", {EVALUATION: evaluation})) == {("EV-02", EVALUATION)}
