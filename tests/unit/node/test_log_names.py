"""The names by which people call the logs of a node."""

from __future__ import annotations

import pytest

from gateway.node.log_names import name_of, origin_of
from gateway.node.pair import Pair

PAIR = Pair(nation="FR", node="fr.gateway.test", peer_nation="US", peer_node="us.gateway.test")


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("audit", "fr.gateway.test/audit"),
        ("audit/2", "fr.gateway.test/audit/2"),
        ("exchange/us", "fr.gateway.test/exchange/us"),
        ("exchange/us/12", "fr.gateway.test/exchange/us/12"),
        ("mirror/us", "us.gateway.test/exchange/fr"),
        ("mirror/us/2", "us.gateway.test/exchange/fr/2"),
    ],
)
def test_a_log_has_one_name_and_one_origin(name: str, origin: str) -> None:
    assert origin_of(name, PAIR) == origin
    assert name_of(origin, PAIR) == name


@pytest.mark.parametrize(
    "name", ["", "audit/", "AUDIT", "exchange", "exchange/fr", "mirror/fr", "exchange/use"]
)
def test_what_is_no_name_of_a_log_has_no_origin(name: str) -> None:
    assert origin_of(name, PAIR) is None


@pytest.mark.parametrize("origin", ["us.gateway.test/audit", "de.gateway.test/exchange/us", "audit"])
def test_a_log_that_this_node_does_not_hold_is_called_by_its_origin(origin: str) -> None:
    assert name_of(origin, PAIR) == origin
