"""`entente keys`: what keys there are, and how they change.

Thin: it opens what a command needs, calls `gateway.keyring` and prints.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509

from gateway.cli import key_words as words
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.asking import is_confirmed
from gateway.cli.authorities import make_new_authorities, say_who_is_left, switch_authorities_command
from gateway.cli.carry import carry_in_command, carry_out_command, sign_statement_command
from gateway.cli.fingerprints import print_fingerprints
from gateway.cli.init import NEW_NODE_KEYS, ask_passphrase, now
from gateway.cli.opening import (
    AuthorityOption,
    Home,
    IssuingFile,
    NodeFile,
    RootFile,
    open_issuing,
    open_node,
    open_root,
    read_root,
)
from gateway.cli.refusals import reporting
from gateway.cli.root import new_root_command, switch_root_command
from gateway.client.transport import Language
from gateway.config import load_config
from gateway.core.message.wording import Wording
from gateway.keyring.ceremony import ServerNames, publish_crls
from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.files import read_public, write_public
from gateway.keyring.holders import NewHolder, holder_folder, issue_for_request, issue_test_holders
from gateway.keyring.home import AuthorityHome, NodeHome, TrustFiles
from gateway.keyring.keyfile import KeyHeader, PassphraseLock, read_header
from gateway.keyring.keyfolder import KEY_SUFFIX
from gateway.keyring.newroot import is_prepared
from gateway.keyring.passphrase import (
    check_new_passphrase,
    read_passphrase_descriptor,
)
from gateway.keyring.pins import read_pin
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.registry import Role, read_registry
from gateway.keyring.rotation import (
    REASONS,
    STAGES,
    renew_authorities,
    revoke,
    rotate_peer_tls,
    rotate_server_tls,
    rotate_signing_keys,
)
from gateway.keyring.statement import KeyStatement
from gateway.keyring.transcript import People, write_import_record
from gateway.keyring.trust import (
    Published,
    check_peer,
    export_trust,
    import_peer,
    needs_comparison,
    offered,
    read_published_as_stated,
)
from gateway.keyring.x509_profile import Authority

app = typer.Typer(no_args_is_help=True, help="Keys, certificates and trust of a node home.")
app.command("carry-out")(carry_out_command)
app.command("sign-statement")(sign_statement_command)
app.command("carry-in")(carry_in_command)
app.command("new-root")(new_root_command)
app.command("switch-root")(switch_root_command)
app.command("switch-authorities")(switch_authorities_command)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_KINDS: Final = ("tls-peer", "tls-server", "log", "cosigner", "crl", "authorities", "passphrase")


@app.command("list", epilog="Example: entente keys list --home var/demo/fr")
def list_keys(home: Home, *, language: LanguageOption = "en", as_json: AsJson = False) -> None:
    """Show every key, certificate, list and pin of a home; opens nothing."""
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        document: dict[str, list[dict[str, Any]]] = {
            "keys": _keys(node),
            "certificates": _certificates(node),
            "revocation_lists": _lists(node),
            "holders": [
                {"code": holder.code, "role": holder.role.value, "spki_sha256": holder.spki.hex()}
                for holder in read_registry(node.registry).holders
            ],
            "own": _own(node),
            "peer": [_peer(node)],
        }
        if as_json:
            typer.echo(json.dumps(document, indent=2))
            return
        for section, rows in document.items():
            typer.echo(words.SECTIONS[section].text(spoken))
            for row in rows:
                typer.echo("  " + "  ".join(f"{word}={value}" for word, value in row.items()))


@app.command("rotate", epilog="Example: entente keys rotate tls-peer --home var/demo/fr")
def rotate(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}.")],
    home: Home,
    *,
    authority: AuthorityOption = None,
    issuing_passphrase_file: IssuingFile = None,
    root_passphrase_file: RootFile = None,
    passphrase_file: NodeFile = None,
    new_passphrase_fd: Annotated[
        int | None, typer.Option(help="Descriptor of the new passphrase, for kind passphrase.")
    ] = None,
    new_keys: Annotated[
        Path | None,
        typer.Option(
            help="For kind authorities: make new keys on this empty medium, as after a theft; they wait "
            "until switch-authorities. --issuing-passphrase-file is what seals them."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="For kind tls-server: host name or address of the agency port from now on, in place of "
            "those that its certificate bears beside the node's name; repeatable."
        ),
    ] = None,
    language: LanguageOption = "en",
) -> None:
    """Replace keys and reissue what depends on them. A running node takes them up within seconds.

    crl and tls-server need the issuing authorities, tls-peer those and the root, log, cosigner and
    authorities the root.
    """
    spoken = language_of(language)
    if kind in words.IN_THE_NODE:
        typer.echo(f"{kind}: {words.IN_THE_NODE[kind].text(spoken)}", err=True)
        raise typer.Exit(1)
    if kind not in _KINDS:
        msg = f"a kind is {', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
        raise typer.BadParameter(msg)
    if name and kind != "tls-server":
        msg = "--name is for tls-server: other certificates bear no names that change"
        raise typer.BadParameter(msg)
    if new_keys is not None and kind != "authorities":
        msg = "--new-keys is for authorities: the other kinds make new keys by themselves"
        raise typer.BadParameter(msg)
    with reporting(spoken):
        node = NodeHome(path=home)
        offline = AuthorityHome(path=authority) if authority else node.authority
        if kind == "passphrase":
            _change_passphrase(node, passphrase_file, new_passphrase_fd, spoken)
            return
        if new_keys is not None:
            make_new_authorities(
                node,
                offline,
                new_keys,
                root_files=root_passphrase_file,
                issuing_file=issuing_passphrase_file,
                spoken=spoken,
            )
            return
        if kind == "authorities":
            ends = renew_authorities(node, offline, read_root(offline, root_passphrase_file), now=now())
            typer.echo(words.AUTHORITIES_RENEWED.fill(ends=f"{ends:%Y-%m-%d}").text(spoken))
            return
        if kind in STAGES:
            folder = open_node(node, passphrase_file)
            root = open_root(node, offline, root_passphrase_file)
            statement = rotate_signing_keys(kind, node, folder, root, now=now())
            typer.echo(words.SIGNING_ROTATED.fill(version=str(statement.version)).text(spoken))
            return
        authorities = open_issuing(node, offline, issuing_passphrase_file)
        if kind == "crl":
            publish_crls(node, authorities, now=now())
            typer.echo(words.LISTS_ISSUED.text(spoken))
            return
        folder = open_node(node, passphrase_file)
        if kind == "tls-server":
            names = None if name is None else ServerNames.of(name)
            borne = rotate_server_tls(node, folder, authorities[Authority.NODES], now=now(), names=names)
            listed = ", ".join((*borne.dns_names, *map(str, borne.addresses)))
            typer.echo(words.SERVER_ROTATED.fill(names=listed).text(spoken))
            return
        root = open_root(node, offline, root_passphrase_file)
        statement = rotate_peer_tls(node, folder, authorities[Authority.NODES], root, now=now())
        typer.echo(words.PEER_ROTATED.fill(version=str(statement.version)).text(spoken))


@app.command(
    "revoke", epilog="Example: entente keys revoke FR.SCL --home var/demo/fr --reason key-compromise"
)
def revoke_command(
    wanted: Annotated[str, typer.Argument(help="Agency code, holder's name, serial number or key digest.")],
    home: Home,
    *,
    reason: Annotated[str, typer.Option(help=f"One of: {', '.join(REASONS)}.")] = "unspecified",
    authority: AuthorityOption = None,
    issuing_passphrase_file: IssuingFile = None,
    language: LanguageOption = "en",
) -> None:
    """Revoke certificates; takes effect at a running node within moments."""
    if reason not in REASONS:
        msg = f"a reason is one of: {', '.join(REASONS)}"
        raise typer.BadParameter(msg)
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        offline = AuthorityHome(path=authority) if authority else node.authority
        authorities = open_issuing(node, offline, issuing_passphrase_file)
        done = revoke(node, authorities, wanted, reason=REASONS[reason], now=now())
        for item in done:
            revoked = words.REVOKED.fill(
                name=item.issued.name, serial=f"{item.issued.serial:x}", authority=item.authority.value
            )
            typer.echo(revoked.text(spoken))
        if not done:
            typer.echo(words.TAKEN_OUT.text(spoken))
        # Certificates of ports are in no registry, so there is nothing to confirm.
        if not done or any(item.authority is not Authority.NODES for item in done):
            _say_approval(node, words.CONFIRM_REVOCATION, spoken)


@app.command(
    "issue-agency", epilog="Example: entente keys issue-agency FR.ONAF --csr onaf.csr --home /srv/entente/fr"
)
def issue_agency(
    code: Annotated[str, typer.Argument(help="Agency code, or a name with --role operator or auditor.")],
    home: Home,
    *,
    role: Annotated[Role, typer.Option(help="What the certificate is for.")] = Role.AGENCY,
    csr: Annotated[Path | None, typer.Option(help="Request for the holder's own P-384 key.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the certificate.")] = None,
    authority: AuthorityOption = None,
    issuing_passphrase_file: IssuingFile = None,
    language: LanguageOption = "en",
) -> None:
    """Issue a certificate and enter its key in the registry."""
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        offline = AuthorityHome(path=authority) if authority else node.authority
        holder = NewHolder(code=code, role=role)
        authorities = open_issuing(node, offline, issuing_passphrase_file)
        issuer = authorities[holder.authority]
        if csr is None:
            issue_test_holders(node, issuer, [holder], now=now())
            typer.echo(f"{holder_folder(node, holder)}")
            _say_approval(node, words.AGREE_TO_ENROL, spoken)
            return

        def deliver(certificate: bytes) -> None:
            if out is None:
                typer.echo(certificate.decode("ascii"), nl=False)
            else:
                write_public(out, certificate)

        issue_for_request(node, issuer, holder, read_public(csr), now=now(), deliver=deliver)
        say_who_is_left(node, issuer, spoken)
        _say_approval(node, words.AGREE_TO_ENROL, spoken)


@app.command("export-trust", epilog="Example: entente keys export-trust /media/fr-trust --home HOME")
def export_trust_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    home: Home,
    *,
    language: LanguageOption = "en",
    as_json: AsJson = False,
) -> None:
    """Write what the peer needs to know of us, and the fingerprints to read aloud."""
    spoken = language_of(language)
    with reporting(spoken):
        published = export_trust(NodeHome(path=home), folder)
        coming = _coming(folder)
        if as_json:
            document = {"folder": str(folder), "fingerprints": published.fingerprints()}
            new = {} if coming is None else {"next_fingerprints": coming.fingerprints()}
            typer.echo(json.dumps(document | new, indent=2))
            return
        typer.echo(words.READ_ALOUD.fill(folder=str(folder)).text(spoken))
        print_fingerprints(published.fingerprints(), spoken)
        if coming is not None:
            typer.echo(words.NEXT_ROOT.text(spoken))
            print_fingerprints(coming.fingerprints(), spoken)


@app.command("import-peer", epilog="Example: entente keys import-peer /media/us-trust --home HOME")
def import_peer_command(
    folder: Annotated[Path, typer.Argument(help="Folder that the peer exported.")],
    home: Home,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="The fingerprints were compared; do not ask.")] = False,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Who compared the fingerprints, for the record; repeatable."),
    ] = None,
    replace_root: Annotated[
        bool, typer.Option("--replace-root", help="Accept another root than the pinned one.")
    ] = False,
    language: LanguageOption = "en",
) -> None:
    """Trust the peer's keys after a person has compared the fingerprints."""
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        published = offered(node, folder, replace_root=replace_root)
        check_peer(node, published, replace_root=replace_root)
        statement = published.statement
        stated = words.STATED.fill(
            node=statement.node, nation=statement.nation, version=str(statement.version)
        )
        typer.echo(stated.text(spoken))
        if statement.test:
            typer.echo(words.TEST_KEYS.text(spoken))
        print_fingerprints(published.fingerprints(), spoken)
        compared = needs_comparison(read_pin(node.peer), published)
        if compared and not yes and not is_confirmed(words.ARE_THESE, spoken):
            msg = "not imported: the fingerprints were not confirmed"
            raise CeremonyError(msg)
        people = People(custodians=tuple(by or ()))
        import_peer(node, published, replace_root=replace_root)
        if compared:
            record = write_import_record(published, people=people, now=now())
            write_public(node.import_record, record.encode())
            typer.echo(words.RECORD.fill(path=str(node.import_record)).text(spoken))
        typer.echo(words.IMPORTED.text(spoken))
        coming = _coming(folder)
        if coming is not None and needs_comparison(read_pin(node.peer), coming):
            typer.echo(words.ROOT_OFFERED.text(spoken))


def _coming(folder: Path) -> Published | None:
    """Return what an export holds of a root that is not in force yet."""
    files = TrustFiles(folder=folder).next
    return read_published_as_stated(files) if files.statement.exists() else None


def _say_approval(node: NodeHome, what: Wording, spoken: Language) -> None:
    """Say what is left to do where changes need two operators; a stick has no configuration to ask."""
    if node.config.exists() and load_config(node.path).approvals.two_operators:
        typer.echo(what.text(spoken), err=True)


def _change_passphrase(node: NodeHome, file: Path | None, descriptor: int | None, spoken: Language) -> None:
    folder = open_node(node, file)
    if descriptor is None:
        passphrase = ask_passphrase(NEW_NODE_KEYS, confirm=True)
    else:
        passphrase = read_passphrase_descriptor(descriptor)
    check_new_passphrase(passphrase, source=Path("the new passphrase"))
    folder.change_passphrase(passphrase, now=now())
    typer.echo(words.PASSPHRASE_CHANGED.text(spoken))


def _keys(node: NodeHome) -> list[dict[str, Any]]:
    paths = [path for folder in (node.keys, node.kem) for path in sorted(folder.glob(f"*{KEY_SUFFIX}"))]
    return [_key(path.relative_to(node.keys), read_header(path)) for path in paths]


def _key(path: Path, header: KeyHeader) -> dict[str, Any]:
    lock = "argon2id" if isinstance(header.lock, PassphraseLock) else "wrapped"
    return {
        "file": str(path),
        "purpose": header.purpose.value,
        "name": header.name,
        "key_id": header.key_id.hex(),
        "created": _text(header.created),
        "lock": lock,
        "test": header.test,
    }


def _certificates(node: NodeHome) -> list[dict[str, Any]]:
    paths = [node.own.root, *(node.own.authority(kind.value) for kind in Authority)]
    paths += [node.own.peer_chain, node.own.server_chain]
    waiting = [node.own.next_authorities.authority(kind.value) for kind in Authority]
    paths += [path for path in waiting if path.exists()]
    return [
        {
            "file": str(path.relative_to(node.own.folder)),
            "serial": f"{certificate.serial_number:x}",
            "expires": _text(_end(certificate)),
        }
        for path in paths
        for certificate in (read_certificate(path),)
    ]


def _lists(node: NodeHome) -> list[dict[str, Any]]:
    paths = [node.own.crl(kind.value) for kind in Authority]
    paths += [node.own.next_authorities.crl(kind.value) for kind in Authority]
    paths += [item.crl(Authority.NODES) for item in (node.peer, node.peer.next_authorities)]
    return [
        {"file": str(path.relative_to(node.trust)), "ends": _text(crl_next_update(read_public(path)))}
        for path in paths
        if path.exists()
    ]


def _own(node: NodeHome) -> list[dict[str, Any]]:
    rows = [_stated(read_published_as_stated(node.own).statement)]
    if is_prepared(node):
        rows.append(_stated(read_published_as_stated(node.own.next).statement) | {"in_force": False})
    return rows


def _peer(node: NodeHome) -> dict[str, Any]:
    pin = read_pin(node.peer)
    if pin.root is None:
        return {"nation": pin.nation, "node": pin.node, "imported": False}
    return _stated(read_published_as_stated(node.peer).statement) | {"imported": True}


def _stated(statement: KeyStatement) -> dict[str, Any]:
    return {
        "nation": statement.nation,
        "node": statement.node,
        "version": statement.version,
        "issued": _text(statement.issued),
        "test": statement.test,
        "transcript_sha384": None if statement.ceremony is None else statement.ceremony.hex(),
    }


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
