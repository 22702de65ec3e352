"""Web addresses are shown so that no program makes links of them."""

from __future__ import annotations

import copy
import re

import orjson
import pytest

from gateway.catalogue import catalogue_folder
from gateway.core.message.defang import defanged

LINK = re.compile(r"(?i)(https?|ftp)://|www\.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://marketplace.example/item/1", "hxxps://marketplace[.]example/item/1"),
        ("http://a.b.example", "hxxp://a[.]b[.]example"),
        ("HTTPS://Shop.example:8443/x.html?y=1.2#z", "hxxps://Shop[.]example:8443/x.html?y=1.2#z"),
        ("ftp://files.example/a", "fxp://files[.]example/a"),
        (
            "see https://a.example, then http://b.example.",
            "see hxxps://a[.]example, then hxxp://b[.]example[.]",
        ),
        ("(https://a.example/)", "(hxxps://a[.]example/)"),
        ("https://192.0.2.7/x", "hxxps://192[.]0[.]2[.]7/x"),
        ("www.shop.example/item", "www[.]shop[.]example/item"),
        ("https://www.shop.example", "hxxps://www[.]shop[.]example"),
        ("https://dépôt.example/é", "hxxps://dépôt[.]example/é"),
        ("1.5 kg, 48.85 N", "1.5 kg, 48.85 N"),
        ("marketplace.example", "marketplace.example"),
        ("hxxps://marketplace[.]example/item/1", "hxxps://marketplace[.]example/item/1"),
        ("awww.x", "awww.x"),
        ("https://", "https://"),
        ("", ""),
    ],
)
def test_an_address_is_defanged_and_the_rest_of_a_text_stays(text: str, shown: str) -> None:
    assert defanged(text) == shown
    assert defanged(shown) == shown


def test_every_text_of_a_message_is_looked_at_and_the_message_stays_as_it_is() -> None:
    path = next(catalogue_folder().glob("ecom.seller_alert/examples/valid-*.json"))
    message = orjson.loads(path.read_bytes())
    message["payload"]["narrative"] = "Also at https://other.example/shop."
    before = copy.deepcopy(message)

    shown = defanged(message)

    assert message == before
    assert shown["payload"]["listings"][0].startswith("hxxps://marketplace[.]example/")
    assert shown["payload"]["narrative"] == "Also at hxxps://other[.]example/shop."
    assert LINK.search(orjson.dumps(shown).decode()) is None
    assert {**shown, "payload": None} == {**before, "payload": None}


def test_what_is_no_text_stays() -> None:
    assert defanged({"n": 1, "yes": True, "none": None, "list": [1, "x"]}) == {
        "n": 1,
        "yes": True,
        "none": None,
        "list": [1, "x"],
    }
