"""Lists that age: what they hold, what they say nothing about, what is refused as a list."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from gateway.catalogue import catalogue_folder
from gateway.core.message.reference_lists import (
    SCHEMA_PATH,
    ReferenceList,
    ReferenceListError,
    absent,
    list_checker,
    read_reference_list,
    stale,
)

CHECKER = list_checker((catalogue_folder() / SCHEMA_PATH).read_bytes())


def document(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Places",
        "x-title-fr": "Lieux",
        "edition": "2026-1",
        "renew_by": "2026-12-31",
        "source": "made for this test",
        "complete": True,
        "groups": {"FR": "LEH PAR", "US": "NYC"},
        **changes,
    }


def read(**changes: Any) -> ReferenceList:
    return read_reference_list("places.json", orjson.dumps(document(**changes)), CHECKER)


def test_a_list_lacks_what_is_not_among_the_members_of_its_group() -> None:
    places = read()

    assert not places.lacks("FR", "LEH")
    assert not places.lacks("FR", "PAR")
    assert places.lacks("FR", "NYC")
    assert places.lacks("FR", "LEH PAR")
    assert len(places) == 3


@pytest.mark.parametrize("complete", [True, False])
def test_only_a_complete_list_speaks_about_a_group_that_it_does_not_have(complete: bool) -> None:
    places = read(complete=complete)

    assert places.lacks("ZZ", "LEH") is complete
    assert places.lacks("FR", "ZZZ")


def test_a_list_says_which_edition_it_is() -> None:
    edition = read().edition

    assert (edition.title.en, edition.title.fr) == ("Places", "Lieux")
    assert (edition.name, edition.renew_by) == ("2026-1", date(2026, 12, 31))


def test_a_list_is_old_from_the_day_after_it_should_have_been_renewed() -> None:
    lists = {"places": read(), "banks": read(renew_by="2027-06-30")}

    assert stale(lists, today=date(2026, 12, 31)) == []
    assert stale(lists, today=date(2027, 1, 1)) == ["places"]
    assert stale(lists, today=date(2027, 7, 1)) == ["banks", "places"]


def test_lists_that_are_not_there_are_named() -> None:
    assert absent({"places": read()}, ("places", "hs", "bic")) == ["bic", "hs"]


@pytest.mark.parametrize(
    "changes",
    [
        {"edition": ""},
        {"renew_by": "2026-02-30"},
        {"complete": "yes"},
        {"groups": {}},
        {"groups": {"FR": ""}},
        {"groups": {"FR": "LEH  PAR"}},
        {"groups": {"FR": " LEH"}},
        {"groups": {"fr": "LEH"}},
        {"groups": {"FR": ["LEH"]}},
        {"more": 1},
    ],
)
def test_a_list_of_another_form_is_refused_by_the_name_of_its_file(changes: dict[str, Any]) -> None:
    with pytest.raises(ReferenceListError, match=r"places\.json"):
        read(**changes)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_object_is_no_list(content: bytes) -> None:
    with pytest.raises(ReferenceListError, match=r"places\.json"):
        read_reference_list("places.json", content, CHECKER)
