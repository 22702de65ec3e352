"""The certificates of open connections are held against the list that lies on the disk now."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from gateway.keyring.access import RevocationWatch
from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.expiry import shown_ending
from gateway.keyring.home import NodeHome
from gateway.keyring.rotation import REASONS, revoke
from gateway.keyring.x509_profile import Authority
from gateway.trust_watch import end_times, revocation_check
from gateway.web.app import CertificateCheck
from gateway.web.identity import Certificate, CertificateRevokedError
from tests.unit.keyring.conftest import made, own_pair, pair
from tests.unit.keyring.helpers import Pair, authorities, present

__all__ = ["made", "own_pair", "pair"]


def certificate(home: NodeHome, code: str) -> Certificate:
    found = read_certificate(home.agencies / code / "client.pem")
    return Certificate(spki=b"", expires_ms=2**50, cipher="", serial=found.serial_number)


def is_refused(check: CertificateCheck, shown: Certificate, at: datetime) -> bool:
    try:
        check(shown, int(at.timestamp() * 1_000))
    except CertificateRevokedError:
        return True
    return False


def test_a_revocation_counts_with_the_next_request(own_pair: Pair) -> None:
    home = own_pair.fr
    check = revocation_check(RevocationWatch(home.own, Authority.AGENCIES), port="agency")
    gone, kept = certificate(home, "FR.SCL"), certificate(home, "FR.ONAF")
    assert not is_refused(check, gone, present())

    revoke(home, authorities(home, nation="FR"), "FR.SCL", reason=REASONS["key-compromise"], now=present())

    assert is_refused(check, gone, present())
    assert not is_refused(check, kept, present())


def test_a_list_that_has_run_out_lets_nobody_go_on(own_pair: Pair) -> None:
    home = own_pair.fr
    check = revocation_check(RevocationWatch(home.own, Authority.AGENCIES), port="agency")
    ends = crl_next_update(home.own.crl("agency-ca").read_bytes())
    shown = certificate(home, "FR.ONAF")

    assert not is_refused(check, shown, ends - timedelta(seconds=1))
    assert is_refused(check, shown, ends)


@pytest.mark.parametrize("damage", ["no list", None])
def test_a_list_that_cannot_be_read_lets_nobody_go_on(own_pair: Pair, damage: str | None) -> None:
    home = own_pair.fr
    check = revocation_check(RevocationWatch(home.own, Authority.AGENCIES), port="agency")
    path = home.own.crl("agency-ca")
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)

    assert is_refused(check, certificate(home, "FR.ONAF"), present())
    assert end_times(home) == {}


def test_the_metric_has_what_the_peer_shows_beside_the_files(pair: Pair) -> None:
    now_ms = int(present().timestamp() * 1_000)
    shown = shown_ending(now_ms + 86_400_000, now_ms=now_ms)

    assert end_times(pair.fr, shown=shown)["peer/tls-peer.pem"] == now_ms / 1_000 + 86_400
    assert "peer/tls-peer.pem" not in end_times(pair.fr)
