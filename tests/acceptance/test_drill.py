"""Faults on both nodes while agencies post all the time: nothing lost, nothing twice, every log verifies.

The tests are steps of one drill and run in this order: each breaks something, sees that it is
noticed, mends it and sees messages flow again. The last one counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.keyring.ceremony import open_authorities
from gateway.keyring.demo import NODES
from gateway.keyring.home import NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.rotation import REASONS, renew_node_certificates, revoke
from gateway.keyring.trust import import_peer, read_published_as_stated
from gateway.keyring.x509_profile import Authority
from tests.acceptance.engine import build_image, run
from tests.acceptance.stack import Stack
from tests.acceptance.verdict import count, until_final, verify_logs

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"
FILL = """\
import os, sys
with open("/disk/ballast", "wb", buffering=0) as file:
    block = bytes(65_536)
    while os.statvfs("/disk").f_bavail * os.statvfs("/disk").f_frsize > int(sys.argv[1]):
        try:
            file.write(block)
        except OSError:
            if len(block) == 1:
                break
            block = block[: len(block) // 2]
print(os.path.getsize("/disk/ballast"))
"""
EMPTY = "import os; os.unlink('/disk/ballast')"


def test_messages_flow_both_ways(stack: Stack) -> None:
    stack.until_traffic_flows()


def test_a_cut_peer_link_is_noticed_and_heals(stack: Stack) -> None:
    network, container = f"{stack.project}_peer-link", stack.container("US")
    address = stack.addresses("US")["peer-link"]
    run("docker", "network", "disconnect", network, container)
    for nation in NODES:
        stack.until_peer(nation, reachable=False)
    accepted = {nation: len(stack.sent(nation)) for nation in NODES}
    stack.until(
        lambda: all(len(stack.sent(nation)) > count for nation, count in accepted.items()),
        "both nodes accept messages while the link is cut",
    )
    names = [word for name in ("us.gateway.test", "peer.us.gateway.test") for word in ("--alias", name)]
    run("docker", "network", "connect", "--ip", address, *names, network, container)
    stack.until_traffic_flows()


@pytest.mark.parametrize("nation", NODES)
def test_a_node_that_is_killed_comes_back_by_itself(stack: Stack, nation: str) -> None:
    before = stack.inspect(nation)
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    stack.until(
        lambda: stack.inspect(nation)["RestartCount"] > before["RestartCount"], f"{nation} is started again"
    )
    stack.until_traffic_flows()


def test_a_node_that_stands_still_holds_up_nobody_for_good(stack: Stack) -> None:
    container = stack.container("US")
    run("docker", "pause", container)
    try:
        stack.until_peer("FR", reachable=False)
    finally:
        run("docker", "unpause", container)
    stack.until_traffic_flows()


def test_nodes_that_are_restarted_one_after_the_other_drain(stack: Stack) -> None:
    for nation in NODES:
        assert stack.stop(nation) == 0
        stack.start(nation)
        stack.until_healthy(nation)
    stack.until_traffic_flows()


def test_a_disk_that_fills_up_closes_the_door_and_the_node_runs_on(stack: Stack) -> None:
    disk, before = stack.container("us-disk"), stack.inspect("US")["RestartCount"]
    # Below the reserve of 12 MiB, an eighth of this disk, and below half of it.
    run("docker", "exec", disk, "python", "-c", FILL, str(4 * 2**20))
    stack.until(lambda: _says(stack, "US", "disk-low"), "a node whose disk fills up says so")
    stack.until_peer("FR", reachable=False)
    assert stack.inspect("US")["RestartCount"] == before
    run("docker", "exec", disk, "python", "-c", EMPTY)
    stack.until_traffic_flows()
    assert stack.inspect("US")["RestartCount"] == before


def test_a_disk_that_is_full_at_once_loses_nothing_and_room_lets_the_node_go_on(stack: Stack) -> None:
    disk, before = stack.container("us-disk"), stack.inspect("US")["RestartCount"]
    run("docker", "exec", disk, "python", "-c", FILL, "0")
    # Whichever comes first: a write that fails, which ends the node, or the look at the disk.
    stack.until(
        lambda: stack.inspect("US")["RestartCount"] > before or _says(stack, "US", "disk-low"),
        "a node whose disk is full stops, or refuses",
    )
    run("docker", "exec", disk, "python", "-c", EMPTY)
    stack.until_traffic_flows()


def _says(stack: Stack, nation: str, code: str) -> bool:
    """Tell whether a node names this as a reason."""
    health = stack.health(nation)
    return health is not None and code in {reason["code"] for reason in health["reasons"]}


def test_messages_of_a_node_whose_clock_is_wrong_are_refused_by_rule_and_flow_again(
    stack: Stack, tmp_path: Path
) -> None:
    libraries = sorted(Path("/").glob(FAKETIME.lstrip("/")))
    if not libraries:
        _skip_or_fail("needs the library of the package faketime")
    image = f"{stack.image}-clock"
    (tmp_path / "libfaketime.so.1").write_bytes(libraries[0].read_bytes())
    (tmp_path / "Dockerfile").write_text(
        f"FROM {stack.image}\nCOPY libfaketime.so.1 /usr/local/lib/\n"
        "ENV LD_PRELOAD=/usr/local/lib/libfaketime.so.1 FAKETIME=+10m FAKETIME_DONT_FAKE_MONOTONIC=1\n"
    )
    build_image(tmp_path, image)
    stack.until_traffic_flows()
    stack.replace("US", image)
    stack.until_healthy("US")
    mark = len(stack.sent("US"))
    stack.until(lambda: len(stack.sent("US")) > mark + 3, "the node with the wrong clock accepts")
    wrong = stack.sent("US")[mark : mark + 3]
    states = asyncio.run(until_final(stack, "US", wrong))
    assert set(states.values()) == {"refused"}

    stack.replace("US", stack.image)
    stack.until_healthy("US")
    stack.until_traffic_flows()


def test_a_revoked_certificate_stops_the_link_at_once_and_a_new_one_opens_it(stack: Stack) -> None:
    def withdraw(homes: Mapping[str, NodeHome]) -> None:
        us = homes["US"]
        authorities = _authorities(us)
        name, reason = f"{NODES['US']}/peer", REASONS["key-compromise"]
        assert len(revoke(us, authorities, name, reason=reason, now=datetime.now(UTC))) == 1
        import_peer(homes["FR"], read_published_as_stated(us.own))

    def issue_anew(homes: Mapping[str, NodeHome]) -> None:
        us = homes["US"]
        folder = KeyFolder.open(us.keys, passphrase=read_passphrase_file(us.passphrase), allow_test=True)
        renew_node_certificates(us, folder, _authorities(us)[Authority.NODES], now=datetime.now(UTC))

    stack.as_owner(withdraw)
    for nation in NODES:
        stack.until_peer(nation, reachable=False)
    arrived = {nation: len(stack.got(nation)) for nation in NODES}
    accepted = {nation: len(stack.sent(nation)) for nation in NODES}
    stack.until(
        lambda: all(len(stack.sent(nation)) > accepted[nation] + 8 for nation in NODES),
        "both nodes accept messages while the certificate is revoked",
    )
    assert {nation: len(stack.got(nation)) for nation in NODES} == arrived

    stack.as_owner(issue_anew)
    stack.until_traffic_flows()


def test_nothing_was_lost_nothing_came_twice_and_all_logs_verify(stack: Stack, tmp_path: Path) -> None:
    count(stack)
    verify_logs(stack, tmp_path)


def _authorities(home: NodeHome) -> dict[Authority, IssuingAuthority]:
    passphrase = read_passphrase_file(home.authority.issuing_passphrase)
    nation = read_published_as_stated(home.own).statement.nation
    return open_authorities(home, home.authority, passphrase, nation=nation)


def _skip_or_fail(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
