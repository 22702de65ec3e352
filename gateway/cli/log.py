"""`entente log`: export the logs of a node, and the keys to check them with.

These commands only read: they work beside a running node and on a stopped one, and they
open no private key.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.audit.describe import describe_entry
from gateway.audit.export import export_log
from gateway.audit.report import time_text
from gateway.audit.third_parties import write_claims
from gateway.audit.trust import TrustUnreadableError, read_trust
from gateway.cli.home_logs import HomeLogs, StoredLog, log_origin, open_home
from gateway.cli.outside import claims_of
from gateway.cli.sized_keys import SizedKey, sized_keys
from gateway.config import load_config
from gateway.core.checkpoint import parse_checkpoint
from gateway.core.note import parse_note
from gateway.errors import GatewayError

app = typer.Typer(no_args_is_help=True, help="Logs: export them, list them, follow them, print their keys.")

HomeOption = Annotated[
    Path, typer.Option("--home", help="Node home.", exists=True, file_okay=False, show_default=False)
]
NameOption = Annotated[
    str,
    typer.Option("--log", help="audit, exchange/us (own) or mirror/us (the peer's).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

_POLL_S: Final = 1.0


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New, or an earlier export of this log.")],
    home: HomeOption,
    log: NameOption,
    cosigned: Annotated[
        bool,
        typer.Option("--cosigned", help="Only up to the newest checkpoint that the other node cosigned."),
    ] = False,
    up_to: Annotated[
        int | None,
        typer.Option("--up-to", min=0, help="Only up to the newest kept checkpoint of at most N entries."),
    ] = None,
    parties: Annotated[
        Path | None,
        typer.Option(
            "--third-parties", help="Folder for time stamps and notes of witnesses.", file_okay=False
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Write a log as a C2SP tlog-tiles folder; a second export adds what is new.

    Example: entente log export --home var/demo/fr --log exchange/us /media/stick/fr-us
    """
    with _answering(), open_home(home) as logs:
        stored = logs.find(log)
        source = logs.open(stored, cosigned=cosigned, at_most=up_to)
        size = parse_checkpoint(parse_note(source.note()).text).size
        with progress_bar(f"exporting {log}") as report:
            written = _Count(size, report)
            done = export_log(source, folder, progress=written.add)
        said = 0
        if parties is not None:
            origin = done.checkpoint.origin
            said = write_claims(claims_of(logs, origin, at_most=done.checkpoint.size), parties)
    checkpoint = done.checkpoint
    if json_output:
        _print_json(
            {
                "origin": checkpoint.origin,
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
                "added": checkpoint.size - done.old_size,
                "files": done.files,
                "third_parties": said,
            }
        )
        return
    added = checkpoint.size - done.old_size
    typer.echo(f"{checkpoint.origin}: {checkpoint.size} entries, {added} of them new, in {folder}")
    if parties is not None:
        typer.echo(f"{said} time stamps and notes of witnesses in {parties}")
    if up_to is not None and source.unsigned:
        typer.echo(f"{source.unsigned} later entries were left out, as --up-to asks")
    elif source.unsigned:
        what = "cosigned" if cosigned else "signed"
        typer.echo(f"{source.unsigned} later entries are not {what} yet: export again to add them")


@app.command()
def vkeys(
    home: HomeOption,
    log: NameOption,
    cosigner: Annotated[bool, typer.Option("--cosigner", help="Keys of the node that cosigns it.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also keys that were replaced, with the sizes they are valid for.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Print the verifier keys of a log, or of its cosigner: Ed25519, then ML-DSA-87.

    Those that sign the log now; with --all, every pair behind a comment with its sizes.

    Example: entente log vkeys --home var/demo/fr --log exchange/us > fr-us.vkeys
    """
    with _answering():
        config = load_config(home)
        origin = log_origin(log, config)
        trust = read_trust(home / "trust" / "own.vkeys", home / "trust" / "peer.vkeys")
        is_mirror = origin.startswith(f"{config.peer.name}/")
        if cosigner:
            node = config.node.name if is_mirror else config.peer.name
            ranges = [SizedKey(verifier=key) for key in trust.cosigner_keys(node)]
        else:
            ranges = sized_keys(home, origin, trust.log_keys(origin))
        if not ranges:
            msg = "there are no verifier keys for it in the home: import the peer first"
            raise TrustUnreadableError(msg)
    shown = ranges if every else ranges[:1]
    if json_output:
        pairs = [{"vkeys": key.lines(cosigner=cosigner), "from": key.start, "to": key.end} for key in shown]
        first = shown[0].lines(cosigner=cosigner)
        _print_json({"name": shown[0].verifier.name, "vkeys": first} | ({"keys": pairs} if every else {}))
        return
    for key in shown:
        if every:
            typer.echo(f"# {key.sizes}")
        for line in key.lines(cosigner=cosigner):
            typer.echo(line)


@app.command(name="list")
def list_logs(home: HomeOption, json_output: JsonOption = False) -> None:
    """List the logs of a node: name, size, newest signature.

    Example: entente log list --home var/demo/fr
    """
    with _answering(), open_home(home) as logs:
        rows = [_row(log) for log in logs.stored()]
    if json_output:
        _print_json(rows)
        return
    for row in rows:
        signed = f"signed up to {row['signed_size']} {row['signed_at']}" if row["signed_at"] else "not signed"
        cosigned = f", cosigned up to {row['cosigned_size']}" if row["cosigned_size"] else ""
        typer.echo(f"{row['name']:<14} {row['size']:>12} entries  {signed}{cosigned}  {row['origin']}")


@app.command()
def tail(
    home: HomeOption,
    log: NameOption,
    count: Annotated[int, typer.Option("-n", "--lines", min=0, max=100_000, help="Entries to show.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new entries as they come.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show the newest entries of a log, one a line.

    Example: entente log tail --home var/demo/fr --log audit -n 20 --follow
    """
    with _answering(), open_home(home) as logs:
        size = logs.find(log).head.size
        shown = max(0, size - count)
        while True:
            for index, data in _entries(logs, log, shown, size):
                _print_entry(index, data, json_output=json_output)
            shown = max(shown, size)
            if not follow:
                return
            sys.stdout.flush()
            time.sleep(_POLL_S)
            size = logs.find(log).head.size


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error if it is a terminal; yield what to tell (done, all)."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    # A title may be the name of a foreign folder: it is text, not markup.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Count:
    """Adds up what an export reports."""

    def __init__(self, total: int, report: Callable[[int, int], None]) -> None:
        self._done = 0
        self._total = total
        self._report = report

    def add(self, entries: int) -> None:
        self._done += entries
        self._report(min(self._done, self._total), self._total)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn an error into one line on standard error and exit status 1."""
    try:
        yield
    except GatewayError as error:
        typer.echo(f"{error.code}: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _row(log: StoredLog) -> dict[str, Any]:
    newest = log.newest
    return {
        "name": log.name,
        "origin": log.head.origin,
        "size": log.head.size,
        "signed_size": None if newest is None else newest.size,
        "signed_at": None if newest is None else time_text(newest.at_ms // 1_000),
        "cosigned_size": None if log.cosigned is None else log.cosigned.size,
    }


def _entries(logs: HomeLogs, name: str, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    origin = log_origin(name, logs.config)
    for first in range(start, end, 256):
        last = min(first + 256, end)

        def load(tx: Any, first: int = first, last: int = last) -> list[bytes]:
            found: list[bytes] = tx.logs.entries(origin, first, last)
            return found

        yield from enumerate(logs.read(load), first)


def _print_entry(index: int, data: bytes, *, json_output: bool) -> None:
    kind, text = describe_entry(data)
    if json_output:
        _print_json({"index": index, "kind": kind, "text": text, "entry": data.hex()})
    else:
        typer.echo(f"{index:>10}  {kind:<13}  {text}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=True))
