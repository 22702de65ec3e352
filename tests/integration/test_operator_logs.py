"""The logs on the operator port of a node that exchanges messages, over mutual TLS."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway.audit.export import export_log
from gateway.audit.stamps import read_authority
from gateway.cli.home_logs import open_home
from gateway.console.app import ops_app
from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.link.third_parties import HttpTimeAuthority
from gateway.ports import Attestation, AttestationKind, Step
from gateway.web.server import serve
from tests.agency_site import Holders
from tests.certificates import Authority, Leaf
from tests.http_site import CLOCK
from tests.independent_checker import file_name
from tests.outsiders import OpensslAuthority, serving
from tests.unit.audit.homes import exchange, signed_audit_logs, write_home
from tests.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node with its operator port open, and who may come."""

    world: World
    home: Path
    url: str
    authority: Authority
    leaves: dict[str, Leaf]

    async def audit(self, who: str, *arguments: object) -> Run:
        """Let somebody verify the node, as its auditors do."""
        folder = self.leaves[who].folder
        return await run(
            "audit", "verify", "--url", self.url, "--as", folder, *arguments, "--trust", self.home / "trust"
        )


Run = subprocess.CompletedProcess[str]


async def run(*arguments: object) -> Run:
    """Run a command in a process of its own, beside the nodes in this one."""
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = Authority(tmp_path / "operators", "operators")
    holders = Holders()
    leaves = {}
    for role in ("auditor", "operator", "agency"):
        leaves[role] = authority.leaf(role)
        holders.add(leaves[role], role.upper(), role)
    leaves["nobody"] = authority.leaf("nobody")
    server = authority.server(authority.leaf("server"))
    async with World(tmp_path / "world") as world:
        home = write_home(world, "FR", tmp_path / "fr")
        app = ops_app(world.node("FR"), holders)
        async with serve(app, "127.0.0.1", 0, server, clock=CLOCK) as port:
            url = f"https://127.0.0.1:{port.number}"
            yield Site(world=world, home=home, url=url, authority=authority, leaves=leaves)


async def fetch(site: Site, who: str, path: str) -> tuple[int, bytes]:
    context = site.authority.client(site.leaves[who])
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{site.url}{path}", ssl=context) as answer,
    ):
        return answer.status, await answer.read()


def exported(home: Path, name: str, folder: Path) -> Path:
    with open_home(home) as logs:
        export_log(logs.open(logs.find(name)), folder)
    return folder


async def test_every_file_of_every_log_is_served_as_it_would_be_exported(site: Site, tmp_path: Path) -> None:
    await exchange(site.world, 260)
    await signed_audit_logs(site.world)
    await site.world.stop("US")
    status, body = await fetch(site, "auditor", "/logs")
    assert status == 200
    names = [item["name"] for item in json.loads(body)["logs"]]
    assert names == ["audit", "exchange/us", "mirror/us"]
    for number, name in enumerate(names):
        folder = await asyncio.to_thread(exported, site.home, name, tmp_path / str(number))
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        assert len(files) > 5
        for file in sorted(files):
            who = "operator" if file.startswith("tile/0") else "auditor"
            status, body = await fetch(site, who, f"/logs/{name}/{file}")
            assert (status, body) == (200, (folder / file).read_bytes()), file


async def test_what_was_never_signed_or_is_no_file_of_a_log_is_absent(site: Site) -> None:
    await exchange(site.world, 1)
    size = json.loads((await fetch(site, "auditor", "/logs"))[1])["logs"][0]["size"]
    for path in (
        "/logs/audit/" + file_name("entries", 0, size + 100),  # it grows meanwhile, but not so far
        "/logs/audit/" + file_name("0", 0, 256),
        "/logs/audit/tile/1/000.p/1",
        "/logs/audit/tile/0/001",
        "/logs/audit/tile/0/000.p/0",
        "/logs/audit/tile/8/000",
        "/logs/audit/tile/entries/x000/000",
        "/logs/audit/2/checkpoint",
        "/logs/mirror/fr/checkpoint",
        "/logs/exchange/de/checkpoint",
        "/logs/",
        "/logs/audit",
    ):
        assert (await fetch(site, "auditor", path))[0] == 404, path


async def test_an_older_checkpoint_still_finds_its_partial_tiles(site: Site) -> None:
    await exchange(site.world, 3)
    status, older = await fetch(site, "auditor", "/logs/exchange/us/checkpoint")
    assert status == 200
    size = int(older.split(b"\n")[1])
    before = await fetch(site, "auditor", "/logs/exchange/us/" + file_name("entries", 0, size))
    await exchange(site.world, 3)
    newer = await fetch(site, "auditor", "/logs/exchange/us/checkpoint")
    assert int(newer[1].split(b"\n")[1]) > size
    assert await fetch(site, "auditor", "/logs/exchange/us/" + file_name("entries", 0, size)) == before
    assert before[0] == 200


@pytest.mark.parametrize("who", ["agency", "nobody"])
async def test_logs_are_for_operators_and_auditors_alone(site: Site, who: str) -> None:
    for path in ("/logs", "/logs/audit/checkpoint"):
        assert (await fetch(site, who, path))[0] in {401, 403}


async def test_an_auditor_verifies_a_running_node(site: Site, tmp_path: Path) -> None:
    await exchange(site.world, 150)
    await signed_audit_logs(site.world)
    result = await site.audit("auditor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("VERIFIED the node at https://127.0.0.1:")
    assert "3 logs" in result.stdout.splitlines()[0]
    kept = tmp_path / "kept"
    kept.write_bytes((await fetch(site, "auditor", "/logs/exchange/us/checkpoint"))[1])
    await exchange(site.world, 2)
    result = await site.audit("auditor", "--log", "exchange/us", "--since", kept, "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)
    assert [check["outcome"] for check in found["checks"] if check["name"] == "since"] == ["held"]


async def test_an_auditor_verifies_what_third_parties_said_at_a_running_node(
    site: Site, tmp_path: Path
) -> None:
    await exchange(site.world, 3)
    await site.world.settle()
    tsa = OpensslAuthority(tmp_path / "tsa")
    origin = site.world.sides["FR"].keyring.pair.exchange_origin
    store = site.world.sides["FR"].store
    assert store is not None
    note = await store.read(lambda tx: tx.logs.newest_note(origin))
    assert note is not None
    text = format_checkpoint(Checkpoint(origin=origin, size=note.size, root=note.root)).encode()
    with serving(tsa.answer) as url:
        link = HttpTimeAuthority(
            name="tsa", url=url, authority=read_authority(tsa.certificates), context=None
        )
        response = await link.stamp(text)
    (tmp_path / "tsa.pem").write_bytes(tsa.certificates)

    async def kept(size: int) -> None:
        said = Attestation(
            origin=origin,
            size=size,
            root=note.root,
            kind=AttestationKind.STAMP,
            name="tsa",
            at_ms=1,
            evidence=response,
        )
        await store.write(Step.ATTESTED, lambda tx: tx.facts.put_attestation(said))

    await kept(note.size)
    listed = await fetch(site, "auditor", "/logs/exchange/us/third-parties")
    assert json.loads(listed[1]) == {"said": [{"kind": "stamp", "name": "tsa", "size": note.size}]}
    path = f"/logs/exchange/us/third-parties/stamp.tsa.{note.size}"
    assert await fetch(site, "auditor", path) == (200, response)
    assert (await fetch(site, "nobody", path))[0] == 403
    for absent in ("/logs/exchange/us/third-parties/stamp.tsa.1", "/logs/exchange/de/third-parties"):
        assert (await fetch(site, "auditor", absent))[0] == 404

    title = f"time stamps tsa of {origin}"
    for arguments, outcome in (((), "not checked"), (("--tsa", tmp_path / "tsa.pem"), "held")):
        result = await site.audit("auditor", "--json", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        found = {check["name"]: check["outcome"] for check in json.loads(result.stdout)["checks"]}
        assert found[title] == outcome

    # The same response, said to be over another size: the node lies, or its database was edited.
    await kept(note.size - 1)
    result = await site.audit("auditor", "--tsa", tmp_path / "tsa.pem")
    assert result.returncode == 1
    assert result.stdout.startswith("NOT VERIFIED")
    assert title in result.stdout


async def test_who_may_not_read_and_what_is_not_there_are_told(site: Site) -> None:
    await exchange(site.world, 1)
    for who, arguments, why in (
        ("agency", (), "the node answers 403"),
        ("auditor", ("--log", "mirror/de"), "absent at the node"),
        ("auditor", ("--log", "mirror/us", "--since", site.home / "gateway.toml"), "since: a note is a text"),
    ):
        result = await site.audit(who, *arguments)
        assert result.returncode == 1
        assert result.stdout.startswith("NOT VERIFIED")
        assert why in result.stdout


async def test_a_node_that_does_not_answer_is_told(site: Site) -> None:
    closed = Site(
        world=site.world,
        home=site.home,
        url="https://127.0.0.1:1",
        authority=site.authority,
        leaves=site.leaves,
    )
    result = await closed.audit("auditor")
    assert result.returncode == 1
    assert "the node does not answer" in result.stdout
    for arguments in (["--url", "https://127.0.0.1:9"], ["--as", str(site.home)], ["--log", "audit"]):
        assert (await run("audit", "verify", *arguments)).returncode == 2


async def test_an_export_can_end_at_a_size(site: Site, tmp_path: Path) -> None:
    await exchange(site.world, 3)
    await site.world.stop("US")
    first = await exported_json(site.home, tmp_path / "log")
    assert await exported_json(site.home, tmp_path / "same", "--up-to", first["size"]) == first
    below = await run(*EXPORT, "--home", site.home, "--up-to", "0", tmp_path / "no")
    assert below.returncode == 1
    assert "has not been signed at 0 entries or fewer" in below.stderr


EXPORT = ("log", "export", "--log", "exchange/us")


async def exported_json(home: Path, folder: Path, *more: object) -> dict[str, object]:
    result = await run(*EXPORT, "--home", home, "--json", *more, folder)
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    return found
