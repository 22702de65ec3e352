"""Each container has what its work needs and nothing else: rights, networks, files, ports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.keyring.demo import NODES
from gateway.keyring.tls_group import HYBRID_GROUPS
from tests.acceptance.agency import draft
from tests.acceptance.engine import run
from tests.acceptance.stack import AGENCIES, FILES, HOME, PORTS, ROOT, Stack, compose_commands, other

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1_200)]

SERVICES = ("FR", "US", "fr-agency", "us-agency")

CONNECT = """\
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def try_one(target):
    try:
        socket.create_connection(tuple(target), timeout=3).close()
    except OSError:
        return False
    return True
targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(40) as pool:
    print(json.dumps([t for t, open in zip(targets, pool.map(try_one, targets)) if open]))
"""
GROUP = """\
import json, sys
from pathlib import Path
from gateway.app import open_home
from gateway.keyring.tls import peer_client
from gateway.keyring.tls_group import negotiated_group
opened = open_home(Path(sys.argv[1]))
context = peer_client(opened.home, opened.keyring.peer_identity())
print(json.dumps(negotiated_group(sys.argv[2], int(sys.argv[3]), context)))
"""
RIGHTS = """\
import json, os
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
def is_writable(path):
    try:
        with open(os.path.join(path, "probe"), "w"):
            os.unlink(os.path.join(path, "probe"))
    except OSError:
        return False
    return True
folders = ["/", "/etc", "/opt/entente", "/tmp", "/srv/entente", *(f"/srv/entente/{n}" for n in
           ("keys", "keys/kem", "trust", "data", "high-water"))]
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "capabilities": status["CapEff"], "bounding": status["CapBnd"],
    "no_new_privileges": status["NoNewPrivs"], "seccomp": status["Seccomp"],
    "writable": [path for path in folders if is_writable(path)],
}))
"""

SCAN = """\
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_open(port):
    with socket.socket() as probe:
        probe.settimeout(3)
        return probe.connect_ex((sys.argv[1], port)) == 0
with ThreadPoolExecutor(40) as pool:
    found = pool.map(is_open, range(1, 65_536), chunksize=256)
    print(json.dumps([port for port, open in enumerate(found, 1) if open]))
"""
LISTENING = """\
import json, socket, struct
found = []
for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
    for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
        local, is_state = line.split()[1], line.split()[3] == state
        address, port = local.split(":")
        if is_state:
            shown = socket.inet_ntoa(struct.pack("<I", int(address, 16))) if len(address) == 8 else address
            found.append([name, shown, int(port, 16)])
print(json.dumps(found))
"""
LOOK = """\
import json, os, sys
needles = [bytes.fromhex(text) for text in json.loads(sys.argv[1])]
longest = max(map(len, needles))
found, open_to_others, files = [], [], 0
for top in sys.argv[2:]:
    for folder, _, names in os.walk(top):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            facts = os.lstat(path)
            if facts.st_mode & 0o077 and not path.endswith(".sock"):
                open_to_others.append(path)
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            files += 1
            with open(path, "rb") as file:
                kept = b""
                while piece := file.read(1 << 20):
                    text = kept + piece
                    found += [path for needle in needles if needle in text]
                    kept = text[-longest:]
print(json.dumps({"files": files, "found": sorted(set(found)), "open": open_to_others}))
"""


def test_without_keys_every_compose_says_what_to_do_and_makes_nothing(engine: None, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    for command in compose_commands():
        done = subprocess.run(
            (*command, "up", "-d"), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode != 0
        assert "run scripts/dev-keys" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["docker-compose.yml"]


def test_every_compose_that_is_here_accepts_the_files(stack: Stack) -> None:
    for command in compose_commands():
        for files in (FILES[:1], FILES):
            options = [word for file in files for word in ("-f", str(file))]
            run(*command, *options, "config", "--quiet", environment=stack.environment)


@pytest.mark.parametrize("service", SERVICES)
def test_the_engine_gives_a_container_no_more_rights_than_it_needs(stack: Stack, service: str) -> None:
    found = stack.inspect(service)
    host: dict[str, Any] = found["HostConfig"]
    user, _, group = found["Config"]["User"].partition(":")
    assert (int(user), int(group)) == (stack.owner, int(stack.environment["ENTENTE_GID"]))
    assert int(user) != 0
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert [option for option in host["SecurityOpt"] if option.startswith("no-new-privileges")]
    assert host["Memory"] == host["MemorySwap"] == 2**30
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] == 256
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {"core": 0, "nofile": 8_192}
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert host["NetworkMode"] != "host"
    assert not host["PidMode"]
    assert host["IpcMode"] != "host"


@pytest.mark.parametrize("nation", NODES)
def test_from_inside_a_node_has_no_rights_and_writes_where_it_must(stack: Stack, nation: str) -> None:
    found = stack.python(nation, RIGHTS)
    assert (found["uid"], found["gid"]) == (stack.owner, int(stack.environment["ENTENTE_GID"]))
    assert int(found["capabilities"], 16) == int(found["bounding"], 16) == 0
    assert found["no_new_privileges"] == "1"
    assert found["seccomp"] == "2"
    folders = ["keys/kem", "data", "high-water"]
    assert found["writable"] == ["/tmp", *(f"{HOME}/{name}" for name in folders)]


@pytest.mark.parametrize("nation", NODES)
def test_a_node_restarts_drains_and_is_looked_after(stack: Stack, nation: str) -> None:
    found = stack.inspect(nation)
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["Config"]["StopTimeout"] == 30
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "entente", "health", "--home", HOME]


@pytest.mark.parametrize("nation", NODES)
def test_only_agency_and_operator_port_are_published_and_only_on_loopback(stack: Stack, nation: str) -> None:
    bound = stack.inspect(nation)["HostConfig"]["PortBindings"]
    assert set(bound) == {f"{PORTS[nation].agency}/tcp", f"{PORTS[nation].operator}/tcp"}
    assert {item["HostIp"] for items in bound.values() for item in items} == {"127.0.0.1"}
    for service in ("fr-agency", "us-agency"):
        assert not stack.inspect(service)["HostConfig"]["PortBindings"]


def test_the_nations_share_no_file_and_an_agency_sees_its_own_certificates_only(stack: Stack) -> None:
    sources = {
        service: {mount["Source"]: mount for mount in stack.inspect(service)["Mounts"]}
        for service in SERVICES
    }
    journals = str(stack.journals)
    assert not set(sources["FR"]) & set(sources["US"])
    for nation, agency in (("FR", "fr-agency"), ("US", "us-agency")):
        seen = {source for source in sources[agency] if source != journals}
        assert seen == {str(stack.homes[nation].agencies)}
        assert not sources[agency][str(stack.homes[nation].agencies)]["RW"]
        assert not seen & (set(sources["FR"]) | set(sources["US"]))
        assert not [source for source in sources[nation] if "authority" in source or "agencies" in source]
    for nation, home in stack.homes.items():
        for path in (home.config, home.keys, home.trust):
            assert sources[nation][str(path)]["RW"] is False
    assert not [source for mounts in sources.values() for source in mounts if "docker.sock" in source]


def test_no_secret_is_in_environment_command_image_or_history(stack: Stack) -> None:
    history = run("docker", "history", "--no-trunc", "--format", "{{json .}}", stack.image)
    for service in SERVICES:
        told = json.dumps(stack.inspect(service))
        for home in stack.homes.values():
            assert home.passphrase.read_text().strip() not in told + history
    look = "find / -xdev -name '*.key' -o -xdev -name passphrase -o -xdev -name .env -o -xdev -name .git"
    found = run("docker", "run", "--rm", "--user", "0", "--entrypoint", "sh", stack.image, "-c", look)
    assert found == ""


@pytest.mark.parametrize("nation", NODES)
def test_from_its_network_an_agency_reaches_the_agency_port_of_its_node_and_nothing_else(
    stack: Stack, nation: str
) -> None:
    own = stack.addresses(nation)[f"{nation.lower()}-agencies"]
    found = stack.python(f"{nation.lower()}-agency", CONNECT, json.dumps(_targets(stack)))
    assert found == [[own, PORTS[nation].agency]]


@pytest.mark.parametrize("nation", NODES)
def test_from_their_network_operators_reach_the_operator_port_of_their_node_and_nothing_else(
    stack: Stack, nation: str
) -> None:
    network = f"{nation.lower()}-operators"
    found = run(
        *("docker", "run", "--rm", "--network", f"{stack.project}_{network}", "--entrypoint", "python"),
        *(stack.image, "-c", CONNECT, json.dumps(_targets(stack))),
    )
    assert json.loads(found) == [[stack.addresses(nation)[network], PORTS[nation].operator]]


@pytest.mark.parametrize("nation", NODES)
def test_of_all_65535_ports_an_agency_finds_one_open(stack: Stack, nation: str) -> None:
    own = stack.addresses(nation)[f"{nation.lower()}-agencies"]
    assert stack.python(f"{nation.lower()}-agency", SCAN, own) == [PORTS[nation].agency]


@pytest.mark.parametrize("nation", NODES)
def test_a_node_listens_on_its_three_ports_in_the_networks_that_have_business_there(
    stack: Stack, nation: str
) -> None:
    addresses, ports, prefix = stack.addresses(nation), PORTS[nation], nation.lower()
    wanted = {
        (addresses[f"{prefix}-agencies"], ports.agency),
        (addresses[f"{prefix}-host"], ports.agency),
        (addresses[f"{prefix}-operators"], ports.operator),
        (addresses[f"{prefix}-host"], ports.operator),
        (addresses["peer-link"], ports.peer),
    }
    # The engine's own resolver listens in each container, on its loopback interface.
    found = [item for item in stack.python(nation, LISTENING) if item[1] != "127.0.0.11"]
    assert {(address, port) for _, address, port in found} == wanted
    assert {kind for kind, _, _ in found} == {"tcp"}


@pytest.mark.parametrize("nation", NODES)
def test_in_the_volumes_lie_no_content_no_open_key_and_nothing_for_others(stack: Stack, nation: str) -> None:
    stack.until_traffic_flows()
    alert = draft(nation, AGENCIES[other(nation)])["payload"]
    needles = [alert["headline"], alert["narrative"], alert["requested_action"], "PRIVATE KEY"]
    needles += [home.passphrase.read_text().strip() for home in stack.homes.values()]
    volumes = [f"{HOME}/{name}" for name in ("data", "high-water", "keys/kem")]
    words = json.dumps([needle.encode().hex() for needle in needles])
    looked = stack.python(nation, LOOK, words, *volumes)
    assert looked["files"] >= 4
    assert looked["found"] == []
    assert looked["open"] == []


@pytest.mark.parametrize("nation", NODES)
def test_a_node_reaches_the_peer_port_of_its_peer_and_nothing_else_of_it(stack: Stack, nation: str) -> None:
    peer = other(nation)
    addresses = stack.addresses(peer)
    targets = [target for target in _targets(stack) if target[0] in addresses.values()]
    found = stack.python(nation, CONNECT, json.dumps(targets))
    assert found == [[addresses["peer-link"], PORTS[peer].peer]]


@pytest.mark.parametrize("nation", NODES)
def test_the_peer_link_uses_a_hybrid_post_quantum_group(
    stack: Stack, nation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = other(nation)
    group = stack.python(nation, GROUP, HOME, NODES[peer], str(PORTS[peer].peer))
    with capsys.disabled():
        sys.stdout.write(f"\nTLS group of the peer link, {nation} to {peer}: {group}\n")
    assert group in HYBRID_GROUPS
    assert group == "SecP384r1MLKEM1024"


def _targets(stack: Stack) -> list[list[str | int]]:
    """Return every address of both nodes, and this machine as each network sees it, with every port."""
    networks = run("docker", "network", "ls", "--quiet", "--filter", f"name={stack.project}_").split()
    described = json.loads(run("docker", "network", "inspect", *networks))
    hosts = {
        facts["Gateway"] for network in described for facts in network["IPAM"]["Config"] if "Gateway" in facts
    }
    hosts |= {address for nation in NODES for address in stack.addresses(nation).values()}
    numbers = {number for ports in PORTS.values() for number in (ports.agency, ports.peer, ports.operator)}
    numbers |= {number for pair in stack.published.values() for number in pair}
    return [[host, number] for host in sorted(hosts) for number in sorted(numbers)]
