"""Names of logs: each nation's pair names the other's logs as the other does."""

from __future__ import annotations

import re

from tests.world import pair_of

ORIGIN = re.compile(r"[a-z0-9.-]+(/[a-z0-9-]+)+")


def test_what_one_node_writes_is_what_the_other_mirrors() -> None:
    french, american = pair_of("FR"), pair_of("US")

    assert french.exchange_origin == american.peer_origin == "fr.gateway.test/exchange/us"
    assert american.exchange_origin == french.peer_origin == "us.gateway.test/exchange/fr"
    assert french.audit_origin == american.peer_audit_origin == "fr.gateway.test/audit"


def test_all_names_have_the_form_of_an_origin_and_none_is_used_twice() -> None:
    pair = pair_of("FR")
    names = [pair.exchange_origin, pair.peer_origin, pair.audit_origin, pair.peer_audit_origin]

    assert all(ORIGIN.fullmatch(name) for name in names)
    assert len(set(names)) == len(names)
