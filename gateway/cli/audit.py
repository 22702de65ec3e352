"""`entente audit`: verify logs from files and public keys.

The verdict is the first line: VERIFIED, or NOT VERIFIED with the reason. Exit status 0 if
verified, 1 if not, 2 for wrong usage.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.audit.crosscheck import check_cosigned_note, compare_logs, cosigner_periods
from gateway.audit.folder import LogFolder, shown
from gateway.audit.log import AuditedLog
from gateway.audit.notes import SavedNote, check_notes, check_since
from gateway.audit.report import Check, LogReport, Outcome, SetReport
from gateway.audit.third_parties import Claim
from gateway.audit.trust import Trust, read_trust
from gateway.audit.verify import Verification, verify_log
from gateway.cli.audit_questions import find_command, reconcile_command, report_command
from gateway.cli.auditing import JsonOption, print_table, trusted
from gateway.cli.high_water import Losses, high_water_checks
from gateway.cli.home_logs import open_home
from gateway.cli.log import progress_bar
from gateway.cli.outside import Outside
from gateway.cli.remote_logs import NodePort, RemoteLog
from gateway.core.checkpoint import parse_checkpoint
from gateway.core.message.wording import counted
from gateway.core.note import MAX_NOTE_BYTES, parse_note
from gateway.errors import GatewayError

app = typer.Typer(no_args_is_help=True, help="Audits: verify logs offline, from files and public keys alone.")

Report = LogReport | SetReport


app.command("reconcile")(reconcile_command)
app.command("find")(find_command)
app.command("report")(report_command)


@app.callback()
def audit() -> None:
    """Verify logs offline, from files and public keys alone."""


@app.command()
def verify(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Exported logs; several are compared with each other."),
    ] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Folder with .vkeys files, or one such file.", exists=True)
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            help="Node home: verify all its logs; with DIR, take its keys.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="Operator port of a running node: verify its logs, with --as and --trust."
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option("--as", help="Folder of the auditor: client.pem, client.key, ca.pem.", file_okay=False),
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--log", help="With --url: only this log; may be repeated.")
    ] = None,
    since: Annotated[
        list[Path] | None,
        typer.Option("--since", help="Saved checkpoint that its log has to begin with; may be repeated."),
    ] = None,
    parties: Annotated[
        Path | None,
        typer.Option(
            "--third-parties",
            help="What `log export --third-parties` wrote: time stamps and witnesses.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    tsa: Annotated[
        Path | None,
        typer.Option(
            "--tsa",
            help="PEM file with the certificates of the time-stamp authority.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Recompute a log from its entries and say whether all of it is as it was signed.

    Examples: entente audit verify /media/stick/fr-us --trust /media/safe/keys

    entente audit verify --home var/demo/fr

    entente audit verify --url https://127.0.0.1:9443 --as var/demo/fr/operators/AUDITOR --trust keys

    entente audit verify /media/stick/fr-us --trust keys --third-parties /media/stick/stamps --tsa tsa.pem
    """
    paths = folders or []
    _check_usage(paths, trust, home, url, identity)
    if names and url is None:
        msg = "--log goes with --url"
        raise typer.BadParameter(msg)
    saved = _saved(since or [])
    outside = Outside(parties, tsa)
    _conclude(
        lambda: _verify(paths, trust, home, url, identity, names, saved, outside), json_output=json_output
    )


@app.command()
def notes(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Saved checkpoints.", dir_okay=False)],
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Folder with .vkeys files, or one such file.", exists=True)
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Take the keys of this node home.", exists=True)
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", help="Exported log to compare with; may be repeated.", exists=True),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Say whether checkpoints that anybody saved lie on one history, and name two that do not.

    Example: entente audit notes fr-us-monday us-copy-of-fr-us --trust keys --log /case/fr-us
    """
    keys_in = trusted(trust, home)
    saved = _saved(files)

    def compare() -> SetReport:
        keys = read_trust(keys_in)
        found = [_verify_one(LogFolder(path), shown(path.resolve().name), keys) for path in logs or []]
        return check_notes(saved, found, trust=keys)

    _conclude(compare, json_output=json_output)


def _conclude(find: Callable[[], Report], *, json_output: bool) -> None:
    """Print what was found out; whatever cannot be read is not verified."""
    try:
        report = find()
    except GatewayError as error:
        report = SetReport(
            title="anything",
            logs=(),
            checks=(Check.failed(error.code, str(error)),),
        )
    _print(report, json_output=json_output)
    if not report.is_verified:
        raise typer.Exit(1)


def _saved(paths: Sequence[Path]) -> list[SavedNote]:
    """Read saved checkpoints; a file that is none is found out later, one that is absent is wrong usage."""
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                found.append(SavedNote(label=shown(str(path)), note=file.read(MAX_NOTE_BYTES + 1)))
        except OSError as error:
            msg = f"{shown(path.name)} cannot be read"
            raise typer.BadParameter(msg) from error
    return found


def _check_usage(
    paths: list[Path], trust: Path | None, home: Path | None, url: str | None, identity: Path | None
) -> None:
    """Refuse what would leave open whose keys are trusted: exit status 2."""
    if url is not None or identity is not None:
        if paths or home is not None or trust is None or url is None or identity is None:
            msg = "--url goes with --as and --trust, and with nothing else to verify"
            raise typer.BadParameter(msg)
        return
    has_keys = trust is not None or home is not None
    if (paths and not has_keys) or (not paths and (home is None or trust is not None)):
        msg = "give exported logs and --trust, or --home alone, or --url with --as and --trust"
        raise typer.BadParameter(msg)
    for path in paths:
        if not path.is_dir():
            msg = f"{shown(path.name)} is not a folder"
            raise typer.BadParameter(msg)


def _verify(
    paths: list[Path],
    trust: Path | None,
    home: Path | None,
    url: str | None,
    identity: Path | None,
    names: list[str] | None,
    saved: list[SavedNote],
    outside: Outside,
) -> Report:
    if not paths and url is None and home is not None:
        return _verify_home(home, saved, outside)
    keys_in = trust if trust is not None else _trust_of(home)
    keys = read_trust(keys_in)
    if url is not None and identity is not None:
        return _verify_node(url, identity, names, keys, saved, outside, keys_in)
    found = [_verify_one(LogFolder(path), shown(path.resolve().name), keys) for path in paths]
    checks = [*_since_checks(saved, found, keys), *outside.checks(found, keys, keys_in=keys_in)]
    if len(found) == 1:
        report = found[0].report
        return replace(report, checks=(*report.checks, *checks))
    return compare_logs(found, title=f"{len(found)} exported logs", trust=keys, checks=checks)


def _verify_node(
    url: str,
    identity: Path,
    names: list[str] | None,
    keys: Trust,
    saved: list[SavedNote],
    outside: Outside,
    keys_in: Path,
) -> SetReport:
    """Verify the logs that a running node serves, and what third parties said of them."""
    node = NodePort(url, identity)
    try:
        wanted = names or node.names()
        found = [_verify_one(RemoteLog(node, name), name, keys) for name in wanted]
        checks = _since_checks(saved, found, keys)
        served = [
            claim
            for name, item in zip(wanted, found, strict=True)
            if item.report.checkpoint is not None
            for claim in _served_claims(node, name, item, checks)
        ]
        checks += outside.checks(found, keys, keys_in=keys_in, served=served)
        return compare_logs(found, title=f"the node at {shown(url)[1:-1]}", trust=keys, checks=checks)
    finally:
        node.close()


def _served_claims(node: NodePort, name: str, log: Verification, checks: list[Check]) -> Sequence[Claim]:
    """Return what third parties said of a log; what cannot be read makes the node not verified."""
    title = f"third parties of {log.report.title}"
    try:
        claims = node.claims(name, log.report.title)
    except GatewayError as error:
        checks.append(Check.failed(title, str(error)))
        return ()
    if claims is None:
        what = "the node does not serve what they said"
        checks.append(Check.not_checked(title, what))
    return claims or ()


def _since_checks(saved: list[SavedNote], found: Sequence[Verification], keys: Trust) -> list[Check]:
    """Compare each saved checkpoint with every copy of its log; if there is one log, it has to be that."""
    checks: list[Check] = []
    periods = cosigner_periods(found, keys)
    for note in saved:
        of_log = [item for item in found if item.report.title == _origin_of(note)]
        checks += [check_since(item, note, trust=keys, periods=periods) for item in of_log or found[:1]]
    return checks


def _origin_of(saved: SavedNote) -> str | None:
    try:
        return parse_checkpoint(parse_note(saved.note).text).origin
    except GatewayError:
        return None


def _trust_of(home: Path | None) -> Path:
    return (home or Path()) / "trust"


def _verify_home(home: Path, saved: list[SavedNote], outside: Outside) -> SetReport:
    """Verify every log of a node, what they say of each other, and what the node signed before."""
    trust = read_trust(_trust_of(home))
    with open_home(home) as logs:
        found: list[Verification] = []
        checks: list[Check] = []
        cosigned: list[tuple[Verification, bytes]] = []
        known = logs.stored()
        for stored in known:
            if stored.newest is None or stored.newest.note is None:
                checks.append(_unsigned(stored.name, stored.head.size))
                continue
            log = logs.open(stored)
            found.append(_verify_one(log, stored.head.origin, trust))
            if stored.cosigned is not None and stored.cosigned.note is not None:
                cosigned.append((found[-1], stored.cosigned.note))
            if log.unsigned:
                checks.append(_unsigned(stored.name, log.unsigned))
        periods = cosigner_periods(found, trust)
        vouched: list[tuple[Verification, int]] = []
        for item, note in cosigned:
            check = check_cosigned_note(item, note, trust=trust, periods=periods)
            checks += [] if check is None else [check]
            if check is not None and check.outcome is Outcome.HELD:
                vouched.append((item, parse_checkpoint(parse_note(note).text).size))
        checks += high_water_checks(logs, known, Losses(logs.config.node.name, found, vouched))
        checks += _since_checks(saved, found, trust)
        checks += outside.checks(found, trust, keys_in=_trust_of(home), home=logs)
        return compare_logs(found, title=logs.config.node.name, trust=trust, checks=checks)


def _verify_one(log: AuditedLog, title: str, trust: Trust) -> Verification:
    with progress_bar(f"verifying {title}") as progress:
        return verify_log(log, title=title, trust=trust, progress=progress)


def _unsigned(name: str, entries: int) -> Check:
    unsigned = counted(entries, "entry is", "entries are")
    what = f"{unsigned} not signed yet" if entries else "the log is empty"
    return Check.not_checked(f"end of {name}", what)


def _print(report: Report, *, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=True))
        return
    typer.echo(report.headline)
    logs = report.logs if isinstance(report, SetReport) else (report,)
    for log in logs:
        print_table(log.title, _facts(log), log.checks)
    if isinstance(report, SetReport) and report.checks:
        print_table("compared with each other", [], report.checks)


def _facts(log: LogReport) -> list[tuple[str, str]]:
    if log.checkpoint is None:
        return []
    root = b64encode(log.checkpoint.root).decode()
    kinds = ", ".join(f"{count} {kind}" for kind, count in log.kinds.items())
    facts = [("size", str(log.checkpoint.size)), ("root", root)]
    return [*facts, ("holds", kinds)] if kinds else facts
