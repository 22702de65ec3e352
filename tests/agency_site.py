"""Two real nodes with their agency ports open, mutual TLS included, for tests of API and client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.api.app import agency_app
from gateway.client import AsyncClient, Client, Retries
from gateway.client.transport import Language
from gateway.web.limits import Limits
from gateway.web.server import Port, serve
from tests.certificates import Authority, Leaf
from tests.http_site import CLOCK
from tests.world import NATIONS, World

IMPATIENT = Retries(tries=2, first_wait_s=0.05, longest_wait_s=0.1, answer_s=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a certificate."""

    code: str
    role: str


@dataclass(slots=True)
class Holders:
    """An agency registry in memory."""

    by_spki: dict[bytes, Holder] = field(default_factory=dict)

    def find(self, spki: bytes) -> Holder | None:
        return self.by_spki.get(spki)

    def add(self, leaf: Leaf, code: str, role: str = "agency") -> None:
        self.by_spki[leaf.spki] = Holder(code=code, role=role)


@dataclass(slots=True, kw_only=True)
class AgencySite:
    """Both nations' agency ports.

    Attributes:
        world: The nodes behind them.
        authorities: Agency authority by nation.
        leaves: Certificates by agency code, with some that belong to nobody.
        registries: Registry by nation.
        ports: Open port by nation.
    """

    world: World
    authorities: dict[str, Authority]
    leaves: dict[str, Leaf]
    registries: dict[str, Holders]
    ports: dict[str, Port]

    def url(self, nation: str) -> str:
        return f"https://127.0.0.1:{self.ports[nation].number}"

    def client(self, agency: str, *, language: Language = "en", retries: Retries = IMPATIENT) -> AsyncClient:
        """Return a client of an agency at its own node."""
        return AsyncClient.from_folder(
            self.leaves[agency].folder, url=self.url(agency[:2]), language=language, retries=retries
        )

    def sync_client(self, agency: str) -> Client:
        """Return a client that needs no event loop."""
        return Client.from_folder(self.leaves[agency].folder, url=self.url(agency[:2]), retries=IMPATIENT)

    def raw(self, nation: str, leaf: str | None) -> AsyncClient:
        """Return a client with any certificate, or none, at a nation's port."""
        authority = self.authorities[nation]
        context = authority.client(self.leaves[leaf] if leaf is not None else None)
        return AsyncClient(self.url(nation), context=context, retries=IMPATIENT)


AGENCIES = ("FR.DGDDI.SARC", "FR.DGDDI.DNRED", "US.CBP.NTC", "US.ICE.HSI")


@asynccontextmanager
async def open_site(folder: Path, *, limits: Limits | None = None) -> AsyncIterator[AgencySite]:
    """Start both nodes and open both agency ports."""
    authorities = {nation: Authority(folder / nation, f"{nation} agencies") for nation in NATIONS}
    registries = {nation: Holders() for nation in NATIONS}
    leaves: dict[str, Leaf] = {}
    for agency in AGENCIES:
        leaves[agency] = authorities[agency[:2]].leaf(agency)
        registries[agency[:2]].add(leaves[agency], agency)
    french = authorities["FR"]
    leaves["nobody"] = french.leaf("nobody")
    leaves["expired"] = french.leaf("expired", days=-1)
    leaves["operator"] = french.leaf("operator")
    registries["FR"].add(leaves["operator"], "DUTY-OFFICER", "operator")
    registries["FR"].add(leaves["expired"], "FR.DGDDI.SARC")
    servers = {nation: authorities[nation].leaf("server") for nation in NATIONS}
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(World(folder / "world"))
        ports: dict[str, Port] = {}
        for nation in NATIONS:
            ports[nation] = await stack.enter_async_context(
                serve(
                    agency_app(world.node(nation), registries[nation]),
                    "127.0.0.1",
                    0,
                    authorities[nation].server(servers[nation]),
                    clock=CLOCK,
                    limits=limits,
                )
            )
        yield AgencySite(
            world=world, authorities=authorities, leaves=leaves, registries=registries, ports=ports
        )
