"""`entente audit reconcile`, `find` and `report`: what an auditor asks once the logs are verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from gateway.audit.exports import exported_logs
from gateway.audit.figures import Period, count_logs
from gateway.audit.figures_html import render_html
from gateway.audit.find import Answer, Question, find_entries
from gateway.audit.folder import shown
from gateway.audit.overdue import reply_terms
from gateway.audit.reconcile import NamedLog, Reconciliation, reconcile
from gateway.audit.report import Check, LogReport, Outcome
from gateway.audit.trust import read_trust
from gateway.audit.verify import Progress
from gateway.catalogue import read_catalogue
from gateway.cli.agency import LanguageOption, answering, language_of
from gateway.cli.auditing import HomeOption, JsonOption, TrustOption, print_table, trusted
from gateway.cli.log import progress_bar
from gateway.core.message.instants import moment_ms, time_text
from gateway.core.message.wording import counted

FoldersArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR", help="Exported logs, or folders with several.", exists=True, file_okay=False
    ),
]
FolderArgument = Annotated[
    Path,
    typer.Argument(
        help="Exported logs of one nation: a folder with a folder for each.", exists=True, file_okay=False
    ),
]


def reconcile_command(
    first: FolderArgument,
    second: FolderArgument,
    trust: TrustOption = None,
    home: HomeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Lay two nations' exports side by side: what became of each message, and where they differ.

    Each folder holds the exchange log that its nation wrote and its mirror of the other's.

    Example: entente audit reconcile /case/from-france /case/from-america --trust keys
    """
    keys_in = trusted(trust, home)
    if first.samefile(second):
        msg = "give the folders of two nations: one folder agrees with itself"
        raise typer.BadParameter(msg)
    with answering(), _bars() as progress:
        keys = read_trust(keys_in)
        sides = [
            [NamedLog(title=title, log=log) for title, log in exported_logs(folder)]
            for folder in (first, second)
        ]
        found = reconcile(*sides, trust=keys, progress=progress)
    if json_output:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=True))
    else:
        _print_reconciliation(found)
    if not found.is_reconciled:
        raise typer.Exit(1)


def find_command(
    folders: FoldersArgument,
    trust: TrustOption = None,
    home: HomeOption = None,
    message: Annotated[str | None, typer.Option("--message", help="About this message.")] = None,
    agency: Annotated[str | None, typer.Option("--agency", help="Sent or collected by this agency.")] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", help="Event of who holds this key: SHA-256 of its SPKI, or its beginning."),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role", help="Event of a node, agency, operator, auditor, peer or unknown (turned away)."
        ),
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", help="Event whose name begins so: message.read.")
    ] = None,
    kem_key: Annotated[
        str | None, typer.Option("--kem-key", help="Sealed for this KEM key (16 digits).")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="Not before this time or day (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time or day (UTC).")] = None,
    json_output: JsonOption = False,
) -> None:
    """Answer a question from logs: who read a message, what an agency sent, what an operator changed.

    Everything that is given has to hold. The logs are verified in the same pass.

    Examples: entente audit find /case/fr --message ID --event message.read --trust keys

    entente audit find /case/fr --agency FR.DGDDI.SARC --from 2026-11-01 --to 2026-12-01 --trust keys

    entente audit find /case/fr --actor 3fa9c1 --from 2026-11-20T08:00:00Z --trust keys
    """
    keys_in = trusted(trust, home)
    question = Question(
        message_id=None if message is None else _message_id(message),
        agency=agency,
        actor=None if actor is None else _digits(actor, "--actor"),
        role=role,
        event=event,
        kem_key=None if kem_key is None else _digits(kem_key, "--kem-key"),
        from_ms=None if since is None else _moment(since, "--from"),
        until_ms=None if until is None else _moment(until, "--to"),
    )
    if question.is_empty:
        msg = "ask something: --message, --agency, --actor, --role, --event, --kem-key, --from, --to"
        raise typer.BadParameter(msg)
    answers: list[Answer] = []
    with answering(), _bars() as progress:
        keys = read_trust(keys_in)
        logs = [item for folder in folders for item in exported_logs(folder)]
        places: dict[tuple[str, int], bytes] = {}

        def look(report_answer: Callable[[Answer], None]) -> list[LogReport]:
            return [
                find_entries(
                    log,
                    question,
                    title=title,
                    trust=keys,
                    report_answer=report_answer,
                    places=places,
                    progress=progress(title),
                )
                for title, log in logs
            ]

        if question.message_id is not None:
            look(lambda _: None)  # receipts name messages by place, and may stand in a log read earlier
        reports = look(answers.append)
    _print_answers(_once(answers), reports, json_output=json_output)
    if not answers or not all(report.is_verified for report in reports):
        raise typer.Exit(1)


def report_command(
    folders: FoldersArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.", dir_okay=False)],
    since: Annotated[str, typer.Option("--from", help="First time or day (UTC).")],
    until: Annotated[str, typer.Option("--to", help="Before this time or day (UTC).")],
    trust: TrustOption = None,
    home: HomeOption = None,
    language: LanguageOption = "en",
    schemas: Annotated[
        Path | None,
        typer.Option(
            "--schemas",
            help="Catalogue that says when replies were due; that of this installation if absent.",
            file_okay=False,
            exists=True,
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Write what happened in a period as an HTML page for people, with what was verified.

    It needs no network and prints well; every figure is counted from verified entries.

    Example: entente audit report /case/fr --from 2026-11-01 --to 2026-12-01 -o november.html --trust keys
    """
    keys_in = trusted(trust, home)
    spoken = language_of(language)
    period = Period(from_ms=_moment(since, "--from"), until_ms=_moment(until, "--to"))
    with answering(), _bars() as progress:
        keys = read_trust(keys_in)
        logs = [item for folder in folders for item in exported_logs(folder)]
        terms = reply_terms(read_catalogue(schemas))
        figures = count_logs(logs, period, trust=keys, progress=progress, terms=terms)
    try:
        out.write_text(render_html(figures, language=spoken), encoding="utf-8")
    except OSError as error:
        typer.echo(f"{shown(out.name)} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    verified = all(log.is_verified for log in figures.logs)
    messages = sum(figures.by_log.values())
    if json_output:
        replies = {str(fate): count for fate, count in sorted(figures.replies.counts().items())}
        found = {"file": str(out), "messages": messages, "verified": verified, "replies": replies}
        typer.echo(json.dumps(found))
    else:
        said = counted(messages, "message", "messages")
        typer.echo(f"{'VERIFIED' if verified else 'NOT VERIFIED'}: {said}, written to {out}")
    if not verified:
        raise typer.Exit(1)


@contextmanager
def _bars() -> Iterator[Callable[[str], Progress]]:
    """Show one bar, which moves from log to log."""
    with progress_bar("verifying") as bar:

        def progress(_title: str) -> Progress:
            return bar

        yield progress


def _print_reconciliation(found: Reconciliation) -> None:
    typer.echo(found.headline)
    for direction in found.directions:
        refused = sum(direction.refused.values())
        facts = [
            ("entries", f"{direction.entries}, of which both nations hold {direction.mirrored} alike"),
            ("messages", f"{direction.messages}{_again(direction.sent_again)}"),
            ("received", f"{direction.received}, of which {direction.collected} were collected"),
            ("refused", str(refused) if not refused else f"{refused}: {_counts(direction.refused)}"),
            ("no receipt", str(direction.unanswered)),
        ]
        print_table(direction.origin, facts, [])
    for title, lines in (("differences", found.differences), ("not known yet", found.open_ends)):
        if lines:
            typer.echo(f"\n{title}")
            for line in lines:
                typer.echo(f"  {line}")
    print_table("logs", [], [_log_check(log) for log in found.logs])


def _print_answers(answers: Sequence[Answer], reports: Sequence[LogReport], *, json_output: bool) -> None:
    if json_output:
        document = {
            "answers": [answer.as_json() for answer in answers],
            "logs": [report.as_json() for report in reports],
        }
        typer.echo(json.dumps(document, ensure_ascii=True))
        return
    verified = all(report.is_verified for report in reports)
    typer.echo(f"{'VERIFIED' if verified else 'NOT VERIFIED'}: {len(answers)} entries answer")
    for answer in answers:
        typer.echo(
            f"{_text(answer.at_ms):<24}  {answer.origin} {answer.index:>8}  {answer.kind:<10}  {answer.text}"
        )
    print_table("logs", [], [_log_check(report) for report in reports])


def _log_check(report: LogReport) -> Check:
    outcome = Outcome.HELD if report.is_verified else Outcome.FAILED
    return Check(name=report.title, outcome=outcome, detail=report.headline)


def _once(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers in order of time, each once: a mirror holds what the log holds."""
    unique = {(answer.origin, answer.index): answer for answer in answers}
    return sorted(unique.values(), key=lambda answer: (answer.at_ms, answer.origin, answer.index))


def _counts(counts: object) -> str:
    return ", ".join(f"{count} {name}" for name, count in dict(counts).items())  # type: ignore[call-overload]  # JSON of ours: a mapping


def _message_id(text: str) -> bytes:
    try:
        return UUID(text).bytes
    except ValueError as error:
        msg = "a message id is a UUID"
        raise typer.BadParameter(msg) from error


def _digits(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        msg = "an even number of hexadecimal digits"
        raise typer.BadParameter(msg, param_hint=option) from error


def _moment(text: str, option: str) -> int:
    """Return UTC milliseconds of a day, or of a time that ends in Z."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = "a day such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z"
        raise typer.BadParameter(msg, param_hint=option) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment_ms(moment)


def _text(at_ms: int) -> str:
    try:
        return time_text(at_ms)
    except (OverflowError, OSError, ValueError):
        return f"millisecond {at_ms}"


def _again(count: int) -> str:
    return f", in {count} further entries sent again" if count else ""
