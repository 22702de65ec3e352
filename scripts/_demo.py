"""The demo: two real nodes, sample conversations both ways, and the proof that the logs hold.

Everything here is what a user could do by hand: `entente serve` for the processes, the
Python client for the agencies, exported logs and public keys for the verification.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.audit.crosscheck import compare_logs
from gateway.audit.export import export_log
from gateway.audit.folder import LogFolder
from gateway.audit.trust import read_trust
from gateway.audit.verify import verify_log
from gateway.cli.home_logs import open_home
from gateway.client import AsyncClient
from gateway.errors import GatewayError
from gateway.keyring.config_file import Ports
from gateway.keyring.demo import make_demo_homes
from gateway.keyring.home import NodeHome
from gateway.keyring.tls import agency_client
from gateway.keyring.tls_group import negotiated_group
from scripts._traffic import Traffic, example_messages

STEPS = ("accepted", "sent", "delivered", "received", "collected")
START_S = 30.0
STEP_S = 20.0
NATIONS = ("FR", "US")


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(slots=True)
class Row:
    """One message and when it took which step, in milliseconds after it was accepted."""

    number: int
    type: str
    way: str
    precedence: str
    steps: dict[str, float] = field(default_factory=dict)
    end: str = ""


@dataclass(slots=True)
class Demo:
    """What one run of the demo stands on."""

    base: Path
    ports: dict[str, Ports]
    homes: dict[str, NodeHome]
    console: Console
    rows: list[Row] = field(default_factory=list)

    def url(self, nation: str) -> str:
        """Return the address of a nation's agency API."""
        return f"https://127.0.0.1:{self.ports[nation].agency}"


def main() -> int:
    """Run the demo and return its exit status."""
    arguments = _arguments()
    base = (
        (Path(arguments.caller_dir) / arguments.home).resolve()
        if arguments.home
        else Path("var/demo").resolve()
    )
    console = Console() if sys.stdout.isatty() else Console(width=110)
    try:
        if arguments.fresh and base.exists():
            _remove(base)
        base.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_run(base, arguments, console))
    except (DemoError, GatewayError) as error:
        console.print(f"[bold red]The demo stopped:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--exit", action="store_true", help="stop after the verification")
    parser.add_argument("--home", help="folder for keys and data (default var/demo)")
    parser.add_argument("--port-base", type=int, default=9440, help="ports are N+1 to N+3 and N+11 to N+13")
    parser.add_argument("--fresh", action="store_true", help="start from nothing")
    parser.add_argument("--caller-dir", default=".", help=argparse.SUPPRESS)
    return parser.parse_args()


def _remove(base: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if not any((base / nation.lower() / "gateway.toml").exists() for nation in NATIONS):
        msg = f"{base} does not look like the home of a demo: remove it yourself"
        raise DemoError(msg)
    shutil.rmtree(base)


async def _run(base: Path, arguments: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    console.print("[bold]Entente[/] - a French and an American node on this machine, with test keys")
    homes = make_demo_homes(base, now=datetime.now(UTC), port_base=arguments.port_base)
    ports = {nation: Ports.from_base(arguments.port_base, nation) for nation in NATIONS}
    demo = Demo(base=base, ports=ports, homes=homes, console=console)
    with _nodes(demo) as processes:
        await _until_ready(demo, processes)
        await _show_nodes(demo)
        async with _clients(demo) as clients:
            await _exchange(demo, clients)
        held = await asyncio.to_thread(_verify, demo)
        console.print(f"[dim]{time.monotonic() - began:.1f} s[/]")
        if not arguments.exit:
            _show_next(demo)
            await _stay(processes)
    return 0 if held else 1


# --- the two processes -------------------------------------------------------------------


@contextlib.contextmanager
def _nodes(demo: Demo) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run both nodes; stop them with SIGTERM, so that they drain."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:
        for nation, home in demo.homes.items():
            log = stack.enter_context((home.path / "node.log").open("ab"))
            processes[nation] = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--home", str(home.path)],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield processes
        finally:
            for process in processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            for process in processes.values():
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    process.kill()


async def _until_ready(demo: Demo, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Wait until both nodes say that they accept, sign and write."""
    end = time.monotonic() + START_S
    for nation, home in demo.homes.items():
        context = agency_client(home.operators / "OPERATOR")
        url = f"https://127.0.0.1:{demo.ports[nation].operator}/health/ready"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            while not await _is_ready(session, url):
                if processes[nation].poll() is not None:
                    raise DemoError(_why_it_ended(home.path / "node.log", nation))
                if time.monotonic() > end:
                    msg = f"the {nation} node is not ready; its log is {home.path / 'node.log'}"
                    raise DemoError(msg)
                await asyncio.sleep(0.05)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _why_it_ended(log: Path, nation: str) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    return (
        f"the {nation} node ended at its start: {last}\n"
        "Is another demo running on these ports? --port-base chooses others."
    )


async def _show_nodes(demo: Demo) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "agency API", "peer link", "operator port", "TLS group", "home"):
        table.add_column(column, no_wrap=True)
    for nation, home in demo.homes.items():
        ports = demo.ports[nation]
        context = agency_client(home.operators / "OPERATOR")
        group = await asyncio.to_thread(negotiated_group, "127.0.0.1", ports.operator, context)
        table.add_row(
            f"{nation.lower()}.gateway.test",
            f"127.0.0.1:{ports.agency}",
            f"127.0.0.1:{ports.peer}",
            f"127.0.0.1:{ports.operator}",
            group,
            _short(home.path),
        )
    demo.console.print(table)
    demo.console.print(
        "[dim]Content is sealed with ML-KEM-1024 + P-384 whatever the TLS group is.[/]", highlight=False
    )


# --- the agencies ------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _clients(demo: Demo) -> AsyncIterator[dict[str, AsyncClient]]:
    """Open a client for every agency that the examples name."""
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[str, AsyncClient] = {}
        for message in example_messages():
            header = message["header"]
            for agency in (header["from"]["agency"], *(to["agency"] for to in header["to"])):
                if agency not in clients:
                    nation = agency.partition(".")[0]
                    folder = demo.homes[nation].agencies / agency
                    client = AsyncClient.from_folder(folder, url=demo.url(nation))
                    clients[agency] = await stack.enter_async_context(client)
        yield clients


async def _exchange(demo: Demo, clients: dict[str, AsyncClient]) -> None:
    """Send the examples in order; let addressees read and acknowledge them; show each one's way."""
    traffic = Traffic()
    messages = example_messages()
    with _live(demo) as show:
        watchers: list[asyncio.Task[None]] = []
        for number, message in enumerate(messages, start=1):
            current = traffic.current(message, datetime.now(UTC))
            row = _row(number, current)
            demo.rows.append(row)
            received = asyncio.Event()
            sender = clients[current["header"]["from"]["agency"]]
            accepted = await sender.send(current)
            watchers.append(asyncio.create_task(_follow(sender, accepted.message_id, row, received, show)))
            # An answer can only be written once what it answers has arrived.
            async with asyncio.timeout(STEP_S):
                await received.wait()
            for to in current["header"]["to"]:
                client = clients[to["agency"]]
                delivery = await client.read(accepted.message_id)
                if delivery.message != accepted.message:
                    msg = "the addressee did not get the very message that was accepted"
                    raise DemoError(msg)
                await client.ack(accepted.message_id)
        async with asyncio.timeout(STEP_S):
            await asyncio.gather(*watchers)
    refused = [row for row in demo.rows if row.end != "collected"]
    if refused:
        msg = f"{len(refused)} of {len(demo.rows)} messages were not collected"
        raise DemoError(msg)


async def _follow(client: AsyncClient, message_id: str, row: Row, received: asyncio.Event, show: Any) -> None:
    async for tracked in client.watch(message_id):
        first = tracked.timeline[0].time
        for event in tracked.timeline:
            row.steps.setdefault(event.event, (event.time - first).total_seconds() * 1_000)
        row.end = tracked.status
        show()
        if "received" in row.steps or tracked.is_final:
            received.set()


def _row(number: int, message: dict[str, Any]) -> Row:
    header = message["header"]
    to = ", ".join(_service(item["agency"]) for item in header["to"])
    return Row(
        number=number,
        type=message["type"],
        way=f"{_service(header['from']['agency'])} → {to}",
        precedence=header["precedence"],
    )


def _service(agency: str) -> str:
    """Return nation and service of an agency code: FR SARC for FR.DGDDI.SARC."""
    nation, _, rest = agency.partition(".")
    return f"{nation} {rest.rpartition('.')[2]}"


@contextlib.contextmanager
def _live(demo: Demo) -> Iterator[Any]:
    """Show a table that fills, on a terminal; else print it once at the end."""
    if not demo.console.is_terminal:
        yield lambda: None
        demo.console.print(_table(demo.rows))
        return
    with Live(_table(demo.rows), console=demo.console, refresh_per_second=20) as live:
        yield lambda: live.update(_table(demo.rows))
        live.update(_table(demo.rows))


def _table(rows: list[Row]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        caption="milliseconds after acceptance",
        caption_justify="right",
    )
    table.add_column("#", justify="right")
    for column in ("type", "way", "precedence"):
        table.add_column(column, no_wrap=True)
    for step in STEPS:
        table.add_column(step, justify="right")
    for row in rows:
        cells = [f"{row.steps[step]:.0f}" if step in row.steps else "" for step in STEPS]
        if row.steps:
            cells[0] = "✓"
        table.add_row(str(row.number), row.type, row.way, row.precedence, *cells)
    return table


# --- the auditors ------------------------------------------------------------------------


def _verify(demo: Demo) -> bool:
    """Export all four exchange logs and mirrors, and verify them from files and public keys."""
    verified = []
    for nation, home in demo.homes.items():
        other = next(item for item in NATIONS if item != nation).lower()
        trust = read_trust(home.trust)
        with open_home(home.path) as logs:
            for name in (f"exchange/{other}", f"mirror/{other}"):
                folder = demo.base / "export" / nation.lower() / name.replace("/", "-")
                folder.parent.mkdir(parents=True, exist_ok=True)
                export_log(logs.open(logs.find(name)), folder)
                found = verify_log(LogFolder(folder), title=f"{nation} {name}", trust=trust)
                verified.append(found)
                report = found.report
                word = "[green]VERIFIED[/]" if report.is_verified else "[bold red]NOT VERIFIED[/]"
                demo.console.print(f"{word}  {nation} {name:12} {_short(folder)}", highlight=False)
    everybody = read_trust(*(home.trust for home in demo.homes.values()))
    together = compare_logs(verified, title="both nations", trust=everybody)
    word = "[green]VERIFIED[/]" if together.is_verified else "[bold red]NOT VERIFIED[/]"
    demo.console.print(f"{word}  logs, mirrors and receipts of both nations agree", highlight=False)
    return together.is_verified and all(item.report.is_verified for item in verified)


def _show_next(demo: Demo) -> None:
    us, fr = demo.homes["US"].path, demo.homes["FR"].path
    sender, addressee = us / "agencies" / "US.CBP.NTC", fr / "agencies" / "FR.DGDDI.SARC"
    lines = [
        "",
        "[bold]Next[/] (in another terminal; Ctrl-C here stops both nodes)",
        "  .venv/bin/entente schema new alert.urgent/1 > alert.json",
        f"  .venv/bin/entente send alert.json --as {_short(sender)} --url {demo.url('US')}",
        f"  .venv/bin/entente inbox --as {_short(addressee)} --url {demo.url('FR')}",
        f"  .venv/bin/entente log list --home {_short(fr)}",
        f"  .venv/bin/entente audit verify --home {_short(us)}",
        f"Logs of the processes: {_short(fr / 'node.log')}, {_short(us / 'node.log')}",
    ]
    for line in lines:
        demo.console.print(line, highlight=False)


async def _stay(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Stay until Ctrl-C or SIGTERM, or until a node ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        for nation, process in processes.items():
            if process.poll() is not None:
                msg = f"the {nation} node ended"
                raise DemoError(msg)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)


def _short(path: Path) -> str:
    """Return a path as seen from here, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


if __name__ == "__main__":
    sys.exit(main())
