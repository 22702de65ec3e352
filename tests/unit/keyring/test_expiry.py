"""Whoever has to renew something hears of it in time, once at each stage, and then daily."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.expiry import Ending, ExpiryWatch, Sort, endings, shown_ending
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import TrustError
from tests.unit.keyring.helpers import NOW, Pair

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def ending(sort: Sort = Sort.CERTIFICATE) -> Ending:
    return Ending(file="own/tls-peer.pem", sort=sort, ends=NOW)


@pytest.mark.parametrize(
    ("sort", "left", "stage"),
    [
        (Sort.CERTIFICATE, 60 * DAY + SECOND, None),
        (Sort.CERTIFICATE, 60 * DAY, 60),
        (Sort.CERTIFICATE, 30 * DAY + SECOND, 60),
        (Sort.CERTIFICATE, 30 * DAY, 30),
        (Sort.CERTIFICATE, 7 * DAY + SECOND, 30),
        (Sort.CERTIFICATE, 7 * DAY, 7),
        (Sort.CERTIFICATE, SECOND, 7),
        (Sort.CERTIFICATE, 0 * DAY, 0),
        (Sort.CERTIFICATE, -DAY, 0),
        (Sort.ROOT, 365 * DAY + SECOND, None),
        (Sort.ROOT, 365 * DAY, 365),
        (Sort.ROOT, 180 * DAY, 180),
        (Sort.ROOT, 60 * DAY, 60),
        (Sort.SHOWN, 7 * DAY + SECOND, None),
        (Sort.SHOWN, 7 * DAY, 7),
        (Sort.REVOCATION_LIST, 3 * DAY + SECOND, None),
        (Sort.REVOCATION_LIST, 3 * DAY, 3),
        (Sort.REVOCATION_LIST, 0 * DAY, 0),
    ],
)
def test_certificates_warn_at_60_30_and_7_days_and_lists_at_3(
    sort: Sort, left: timedelta, stage: int | None
) -> None:
    assert ending(sort).stage(NOW - left) == stage


def test_each_stage_is_warned_of_once_and_again_every_day_until_it_is_renewed() -> None:
    watch = ExpiryWatch()
    begin = NOW - 60 * DAY

    assert watch.due([ending()], begin - SECOND) == []
    assert watch.due([ending()], begin) == [ending()]
    assert watch.due([ending()], begin + DAY - SECOND) == []
    assert watch.due([ending()], begin + DAY) == [ending()]
    assert watch.due([ending()], NOW - 30 * DAY) == [ending()]
    assert watch.due([ending()], NOW - 30 * DAY + SECOND) == []
    assert watch.due([ending()], NOW) == [ending()]

    renewed = Ending(file=ending().file, sort=Sort.CERTIFICATE, ends=NOW + 90 * DAY)
    assert watch.due([renewed], NOW) == []
    assert watch.due([renewed], renewed.ends - 60 * DAY) == [renewed]


def test_everything_that_the_ports_depend_on_is_looked_at_and_the_first_comes_first(pair: Pair) -> None:
    home = pair.fr
    found = endings(home)

    assert [item.ends for item in found] == sorted(item.ends for item in found)
    assert {item.file for item in found} == {
        *(f"own/{name}.pem" for name in ("root", "node-ca", "agency-ca", "operator-ca")),
        *("own/tls-peer.pem", "own/tls-server.pem", "peer/root.pem", "peer/node-ca.pem"),
        *(f"own/{name}.crl" for name in ("node-ca", "agency-ca", "operator-ca")),
        "peer/node-ca.crl",
    }
    by_file = {item.file: item.ends for item in found}
    assert by_file["own/tls-peer.pem"] == read_certificate(home.own.peer_chain).not_valid_after_utc
    assert by_file["peer/node-ca.crl"] == crl_next_update(home.peer.crl("node-ca").read_bytes())
    for sort in (Sort.ROOT, Sort.CERTIFICATE, Sort.REVOCATION_LIST):
        assert {item.sort for item in endings(home, sort=sort)} == {sort}
    assert {item.file for item in endings(home, sort=Sort.ROOT)} == {"own/root.pem", "peer/root.pem"}


def test_the_certificate_that_the_peer_shows_is_warned_of_until_it_has_ended() -> None:
    ends_ms = int(NOW.timestamp() * 1_000)

    (shown,) = shown_ending(ends_ms, now_ms=ends_ms - 1)
    assert (shown.file, shown.ends, shown.stage(NOW - DAY)) == ("peer/tls-peer.pem", NOW, 7)
    assert shown_ending(ends_ms, now_ms=ends_ms) == ()
    assert shown_ending(None, now_ms=ends_ms) == ()


def test_before_the_peer_is_imported_only_our_own_files_end(own_pair: Pair) -> None:
    home = own_pair.fr
    for path in (home.peer.root, home.peer.authority("node-ca"), home.peer.crl("node-ca")):
        path.unlink()

    assert {item.file.partition("/")[0] for item in endings(home)} == {"own"}


def test_a_damaged_list_is_said_and_not_skipped(own_pair: Pair) -> None:
    home: NodeHome = own_pair.us
    home.own.crl("agency-ca").write_text("no list")

    with pytest.raises(TrustError):
        endings(home)
