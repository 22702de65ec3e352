"""`entente send` and `entente withdraw`: post messages, and take them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Final

import orjson
import typer

from gateway.cli.agency import (
    AsOption,
    JsonOption,
    LanguageOption,
    UrlOption,
    client_of,
    moment,
    print_json,
    print_problem,
    print_warnings,
    problem_document,
)
from gateway.cli.commented import STDIN, read_file
from gateway.client import Accepted, Checked, Client, ProblemError
from gateway.client.async_client import KEY

BATCH: Final = 500
BATCH_BYTES: Final = 8 * 1_048_576

FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILE…", help="Messages or drafts in JSON; - reads standard input."),
]


def send_command(
    files: FilesArgument,
    folder: AsOption,
    url: UrlOption = None,
    check: Annotated[bool, typer.Option("--check", help="Ask what posting would say; keep nothing.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="Idempotency key: the same command again, with the same files, sends nothing twice.",
            show_default=False,
        ),
    ] = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Post messages or drafts; print one line for each.

    A file holds one JSON document, or one a line. Below an accepted message stand warnings of
    values that are in no reference list of the node. Exit status 1 if any is refused.

    Without --key a draft that is sent again is another message. One document has the key KEY, of several the
    second has KEY:2, and so on.

    Example: entente send draft.json --as agencies/FR.DGDDI.SARC --url https://127.0.0.1:9441
    """
    documents = list(_documents(files))
    _verify_key(key, documents, check=check)
    refused = 0
    with client_of(folder, url, language) as client:
        for source, result in _results(client, documents, check=check, key=key):
            refused += isinstance(result, ProblemError)
            _print(source, result, as_json=as_json)
    if refused:
        raise typer.Exit(1)


def withdraw_command(
    message_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of messages.")],
    folder: AsOption,
    url: UrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Take accepted messages back before they are sent.

    Example: entente withdraw 01a20847-0135-7993-b063-b5d5cb27d3ff --as agencies/FR.DGDDI.SARC
    """
    with client_of(folder, url, language) as client:
        for message_id in message_ids:
            at = client.withdraw(message_id)
            if as_json:
                print_json({"message_id": message_id, "status": "withdrawn", "withdrawn_at": at})
            else:
                typer.echo(f"withdrawn  {message_id}  {moment(at)}")


def _documents(files: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each document with where it came from."""
    for name in files:
        content = read_file(name)
        source = "standard input" if name == STDIN else name
        if _is_one(content):
            yield source, content
        else:
            lines = enumerate(content.split(b"\n"), start=1)
            yield from ((f"{source}:{number}", line) for number, line in lines if line.strip())


def _is_one(content: bytes) -> bool:
    """Return whether this is one document; lines of JSON are not one."""
    try:
        orjson.loads(content)
    except ValueError:
        first = content.lstrip().partition(b"\n")[0]
        try:
            orjson.loads(first)
        except ValueError:
            return True  # neither: the node says what is wrong with it
        return False
    return True


def _verify_key(key: str | None, documents: list[tuple[str, bytes]], *, check: bool) -> None:
    """Refuse a key that cannot do what it is given for."""
    if key is None:
        return
    why = None
    if check:
        why = "only for posting: --check keeps nothing that could be repeated"
    elif KEY.fullmatch(key) is None:
        why = "1 to 128 visible ASCII characters without spaces"
    elif sum(1 for _ in _batches(documents)) > 1:
        # Keys of a second call would depend on where the first one ends: on every length before it.
        why = f"for {BATCH} documents and 8 MiB at most: send fewer at once, each part with a key of its own"
    if why is not None:
        raise typer.BadParameter(why, param_hint="--key")


def _results(
    client: Client, documents: list[tuple[str, bytes]], *, check: bool, key: str | None
) -> Iterator[tuple[str, Accepted | Checked | ProblemError]]:
    """Yield what the node says of each document; many go as batches, and what is too long for one alone."""
    if check:
        for source, document in documents:
            try:
                yield source, client.check(document)
            except ProblemError as problem:
                yield source, problem
        return
    for batch in _batches(documents):
        if len(batch) == 1:
            source, document = batch[0]
            try:
                yield source, client.send(document, key=key)
            except ProblemError as problem:
                yield source, problem
            continue
        results = client.send_batch([document for _, document in batch], key=key)
        yield from ((source, result) for (source, _), result in zip(batch, results, strict=True))


def _batches(documents: list[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for source, document in documents:
        if batch and (len(batch) == BATCH or size + len(document) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((source, document))
        size += len(document) + 1
    if batch:
        yield batch


def _print(source: str, result: Accepted | Checked | ProblemError, *, as_json: bool) -> None:
    if isinstance(result, ProblemError):
        if as_json:
            print_json({"file": source, "problem": problem_document(result)})
        else:
            typer.echo(f"refused   {source}  {result.problem}")
            print_problem(result, source=source)
    elif isinstance(result, Accepted):
        if as_json:
            print_json({"file": source, **asdict(result)})
        else:
            typer.echo(f"{result.status:<9} {result.message_id}  {result.message['type']}  {source}")
            print_warnings(result.warnings)
    elif as_json:
        print_json({"file": source, **asdict(result)})
    else:
        typer.echo(f"good      {source}  {result.message['type']}")
        print_warnings(result.warnings)
