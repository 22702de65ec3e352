"""Rehearse the life of keys for real; what this prints is the transcript.

Two ceremonies in production mode with two custodians each, the exchange of trust, two running
nodes, and the procedures of docs/key-emergencies.md, each with messages before and after.

    .venv/bin/python scripts/rehearse_keys.py DIR [PORT]     DIR is new; ports are counted from PORT

It needs openssl. Nothing outside DIR is touched, and both nodes are stopped at the end.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENTENTE = Path(sys.executable).with_name("entente")
DEADLINE_S = 240.0
AGENCIES = {"fr": "FR.DGDDI.SARC", "us": "US.CBP.NTC"}
CUSTODIANS = {"fr": ("Camille Martin", "Dominique Petit"), "us": ("Sam Miller", "Robin Clark")}
NODES = {"fr": "fr.gateway.example", "us": "us.gateway.example"}


def title(text: str) -> None:
    """Print the heading of a part."""
    print(f"\n== {text} ==\n", flush=True)


def say(text: str) -> None:
    """Print a remark."""
    print(f"-- {text}", flush=True)


def run(*command: str, code: int = 0, show: bool = True) -> str:
    """Run a command as a person would type it; fail unless its exit status is as announced."""
    if show:
        print(f"$ {shlex.join(command)}", flush=True)
    program = [str(ENTENTE), *command[1:]] if command[0] == "entente" else list(command)
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if show and output:
        print("".join(f"  {line}\n" for line in output.rstrip().splitlines()), end="", flush=True)
    if done.returncode != code:
        msg = f"exit status {done.returncode}, expected {code}: {output}"
        raise SystemExit(msg)
    if show and code:
        say(f"refused, exit status {code}")
    return output


def until(what: str, is_true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + DEADLINE_S
    while not is_true():
        if time.monotonic() > end:
            msg = f"gave up waiting: {what}"
            raise SystemExit(msg)
        time.sleep(0.2)


class Nation:
    """One nation of the rehearsal: its home, its offline media, its people."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        # Options of the ceremony that name a token.
        self.token: tuple[str, ...] = ()
        for what in ("node", "first", "second", "issuing"):
            self.write_phrase(what, f"{what} half of {name} {os.urandom(9).hex()}")

    def write_phrase(self, what: str, text: str) -> Path:
        """Write a passphrase into a private file."""
        path = Path("phrases") / f"{self.name}-{what}"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    @property
    def root(self) -> list[str]:
        """Return the options that open the root."""
        halves = [f"phrases/{self.name}-first", f"phrases/{self.name}-second"]
        files = [item for half in halves for item in ("--root-passphrase-file", half)]
        return ["--authority", f"{self.name}-offline", *files]

    @property
    def issuing(self) -> list[str]:
        """Return the options that open the issuing authorities."""
        return [
            "--authority",
            f"{self.name}-offline",
            "--issuing-passphrase-file",
            f"phrases/{self.name}-issuing",
        ]

    def hold_ceremony(self, peer: Nation) -> None:
        """Hold the ceremony of this nation."""
        first, second = CUSTODIANS[self.name]
        run(
            *("entente", "init", "--home", self.name, "--nation", self.name.upper()),
            *(
                "--node",
                NODES[self.name],
                "--peer-nation",
                peer.name.upper(),
                "--peer-node",
                NODES[peer.name],
            ),
            *("--peer-url", f"https://127.0.0.1:{peer.port + 1}", "--name", "127.0.0.1"),
            *("--port-base", str(self.port - (1 if self.name == "fr" else 11))),
            *("--custodian", first, "--custodian", second, "--witness", f"Witness {self.name.upper()}"),
            *("--passphrase-file", f"phrases/{self.name}-node"),
            *self.token,
            *self.root,
            *self.issuing[2:],
        )

    def issue(self, code: str, role: str = "agency") -> None:
        """Let a holder make its key, and issue its certificate."""
        folder = self.person(code)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run(
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-noenc"),
            *("-keyout", f"{folder}/client.key", "-subj", "/", "-out", f"{folder}/request.csr"),
            show=False,
        )
        (folder / "client.key").chmod(0o600)
        run(
            *("entente", "keys", "issue-agency", code, "--role", role, "--csr", f"{folder}/request.csr"),
            *("--out", f"{folder}/client.pem", "--home", self.name, *self.issuing),
        )
        shutil.copy(f"{self.name}/trust/own/root.pem", folder / "ca.pem")

    def person(self, code: str) -> Path:
        """Return a holder's own folder."""
        return Path(f"{self.name}-people") / code

    def start(self) -> None:
        """Start the node."""
        with Path(f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen([ENTENTE, "serve", "--home", self.name], stderr=log)
        until(f"{self.name} answers", lambda: self.health("--live"))

    def health(self, *options: str) -> bool:
        """Return whether the node is ready, or live."""
        done = subprocess.run(
            [ENTENTE, "health", "--home", self.name, *options], check=False, capture_output=True
        )
        return done.returncode == 0

    def stop(self) -> None:
        """Stop the node if it runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def said(self, event: str, count: int = 1) -> None:
        """Wait until the node has said an event so often."""
        until(f"{self.name} says {event}", lambda: self.events(event) >= count)
        say(f"the node of {self.name.upper()} has said {event}")

    def events(self, event: str) -> int:
        """Return how often the node has said an event."""
        return Path(f"{self.name}.log").read_text(encoding="utf-8").count(f'"{event}"')

    def url(self) -> str:
        """Return the address of the agency port."""
        return f"https://127.0.0.1:{self.port}"


def send(sender: Nation, receiver: Nation) -> str:
    """Post an alert and return its id."""
    draft: dict[str, Any] = json.loads(run("entente", "schema", "new", "alert.urgent/1", show=False))
    draft["header"]["to"] = [{"nation": receiver.name.upper(), "agency": AGENCIES[receiver.name]}]
    Path("alert.json").write_text(json.dumps(draft), encoding="utf-8")
    agency = AGENCIES[sender.name]
    answer = run(
        *("entente", "send", "alert.json", "--as", f"{sender.person(agency)}", "--url", sender.url()),
        *("--json",),
        show=False,
    )
    return str(json.loads(answer.splitlines()[0])["message_id"])


def exchange(one: Nation, two: Nation) -> None:
    """Let an alert go each way and be collected."""
    for sender, receiver in ((one, two), (two, one)):
        message = send(sender, receiver)
        reader = ["--as", f"{receiver.person(AGENCIES[receiver.name])}", "--url", receiver.url()]

        def arrived(message: str = message, reader: list[str] = reader, receiver: Nation = receiver) -> bool:
            run(
                "entente",
                "inbox",
                *reader,
                "--out",
                f"inbox-{receiver.name}",
                "--ack",
                "--wait",
                "5",
                show=False,
            )
            return Path(f"inbox-{receiver.name}", f"{message}.json").exists()

        until("a message", arrived)
        say(f"an alert went from {AGENCIES[sender.name]} to {AGENCIES[receiver.name]} and was collected")


def bring_trust(source: Nation, target: Nation, *options: str) -> None:
    """Carry what one nation publishes to the other."""
    run("entente", "keys", "export-trust", f"stick/{source.name}", "--home", source.name)
    run("entente", "keys", "import-peer", f"stick/{source.name}", "--home", target.name, *options)


def prepare(fr: Nation, us: Nation) -> None:
    """Hold both ceremonies, exchange trust, start both nodes."""
    title("The ceremonies / Les cérémonies")
    fr.hold_ceremony(us)
    us.hold_ceremony(fr)
    title("The exchange of trust / L'échange de confiance")
    for source, target in ((fr, us), (us, fr)):
        bring_trust(
            source, target, "--yes", "--by", CUSTODIANS[source.name][0], "--by", CUSTODIANS[target.name][0]
        )
    title("Agencies, then both nodes start / Les services, puis les deux nœuds démarrent")
    for nation in (fr, us):
        nation.issue(AGENCIES[nation.name])
        nation.start()
    exchange(fr, us)
    say("the digest of the transcript, in entry 0 of both logs of the node:")
    run("sha384sum", "fr/trust/ceremony.txt")
    for name in ("audit", "exchange/us"):
        entries = run(
            "entente", "log", "tail", "--home", "fr", "--log", name, "-n", "100000", "--json", show=False
        )
        first = bytes.fromhex(json.loads(entries.splitlines()[0])["entry"])
        line = next(item for item in first.split(b"\n") if item.startswith(b"ceremony-sha384 "))
        say(f"{name}, entry 0: {line.decode()}")


def stolen_log_key(fr: Nation, us: Nation) -> None:
    """Change the keys of the logs, over a stick."""
    title("Stolen log key / Clé de journal volée")
    say("the root is not at the node: what it has to sign travels on a stick")
    node_phrase = ("--passphrase-file", "phrases/fr-node")
    run("entente", "keys", "carry-out", "stick/fr-statement", "--home", "fr", "--rotate", "log", *node_phrase)
    run("entente", "keys", "sign-statement", "stick/fr-statement", "--yes", *fr.root)
    run("entente", "keys", "carry-in", "stick/fr-statement", "--home", "fr", *node_phrase)
    fr.said("keys.changed", 1)
    us.said("peer.keys_changed", 2)
    exchange(fr, us)
    ranges = run("entente", "log", "vkeys", "--home", "fr", "--log", "exchange/us", "--all", show=False)
    for line in ranges.splitlines():
        if line.startswith("#"):
            say(f"key of exchange/us: {line[2:]}")


def stolen_port_key(fr: Nation, us: Nation) -> None:
    """Revoke the certificate of the peer port and use the next key."""
    title("Stolen key of the peer port / Clé du port pair volée")
    run(
        "entente",
        "keys",
        "revoke",
        f"{NODES['fr']}/peer",
        "--reason",
        "key-compromise",
        "--home",
        "fr",
        *fr.issuing,
    )
    run(
        *("entente", "keys", "rotate", "tls-peer", "--home", "fr", "--passphrase-file", "phrases/fr-node"),
        *(*fr.root, *fr.issuing[2:]),
    )
    bring_trust(fr, us)
    us.said("trust.renewed", 1)
    exchange(fr, us)


def stolen_laptop(fr: Nation, us: Nation) -> None:
    """Revoke an agency's certificate and issue another."""
    title("Stolen laptop of an agency / Ordinateur d'un service volé")
    code = AGENCIES["fr"]
    thief = Path("thief")
    shutil.copytree(fr.person(code), thief)
    run("entente", "keys", "revoke", code, "--reason", "key-compromise", "--home", "fr", *fr.issuing)
    run("entente", "inbox", "--as", "thief", "--url", fr.url(), code=1)
    fr.said("registry.changed")
    fr.issue(code)
    exchange(fr, us)
    run("entente", "inbox", "--as", "thief", "--url", fr.url(), code=1)


def lost_passphrase(fr: Nation, us: Nation) -> None:
    """Open the envelope with the passphrase of the node, and change it."""
    title("Lost passphrase of the node / Phrase secrète du nœud perdue")
    deposited = Path("phrases/fr-node").read_text(encoding="utf-8").strip()
    fr.stop()
    fr.write_phrase("node", "not the passphrase at all")
    run("entente", "serve", "--home", "fr", code=1)
    say("meanwhile an American agency goes on posting; its node keeps the message")
    message = send(us, fr)
    say("the sealed envelope of the ceremony is opened before the witness")
    fr.write_phrase("node", deposited)
    new = "a passphrase that nobody has read yet"
    print(
        "$ entente keys rotate passphrase --home fr --new-passphrase-fd 3 3<phrases/fr-node.new", flush=True
    )
    descriptor = os.open(fr.write_phrase("node.new", new), os.O_RDONLY)
    done = subprocess.run(
        [ENTENTE, "keys", "rotate", "passphrase", "--home", "fr", "--new-passphrase-fd", str(descriptor)],
        pass_fds=(descriptor,),
        check=True,
        capture_output=True,
        text=True,
    )
    print(f"  {done.stdout.strip()}", flush=True)
    run("entente", "serve", "--home", "fr", code=1)
    fr.write_phrase("node", new)
    fr.start()

    def arrived() -> bool:
        reader = ["--as", f"{fr.person(AGENCIES['fr'])}", "--url", fr.url()]
        run("entente", "inbox", *reader, "--out", "inbox-fr", "--ack", "--wait", "5", show=False)
        return Path("inbox-fr", f"{message}.json").exists()

    until("the message that waited", arrived)
    say(
        "the node runs with the new passphrase, and the message that waited has arrived; "
        "the new passphrase goes into a new envelope"
    )


def lost_half(fr: Nation) -> None:
    """Open the envelope with a custodian's half."""
    title("Lost half of the root's passphrase / Moitié de la phrase de la racine perdue")
    second = Path("phrases/fr-second").read_text(encoding="utf-8").strip()
    fr.write_phrase("second", "something like that, I think")
    run(
        *("entente", "keys", "rotate", "cosigner", "--home", "fr", "--passphrase-file", "phrases/fr-node"),
        *fr.root,
        code=1,
    )
    say("the envelope of that custodian is opened before the witness and the other custodian")
    fr.write_phrase("second", second)
    run(
        "entente",
        "keys",
        "rotate",
        "cosigner",
        "--home",
        "fr",
        "--passphrase-file",
        "phrases/fr-node",
        *fr.root,
    )
    fr.said("keys.changed", 3)


def stolen_issuing_medium(fr: Nation, us: Nation) -> None:
    """Replace authorities whose medium a thief has with its passphrase, with the node elsewhere."""
    title("Stolen medium of the issuing authorities / Support des autorités volé")
    thief_phrase = Path("phrases/fr-issuing").read_text(encoding="utf-8").strip()
    fr.write_phrase("thief", thief_phrase)
    run("entente", "keys", "carry-out", "stick/fr-authorities", "--home", "fr")
    shutil.copytree("stick/fr-authorities", "thief-files")
    Path("thief-offline").mkdir(mode=0o700)
    shutil.move("fr-offline/issuing", "thief-offline/issuing")
    fr.write_phrase("issuing", f"new issuing phrase of fr {os.urandom(9).hex()}")
    say("the root is at hand; the issuing medium is not, and nothing below needs it")
    run(
        *("entente", "keys", "rotate", "authorities", "--home", "stick/fr-authorities"),
        *("--new-keys", "fr-new-issuing", "--issuing-passphrase-file", "phrases/fr-issuing", *fr.root),
    )
    say("holders hand in a request for the key that they have")
    code = AGENCIES["fr"]
    medium = ("--authority", "fr-new-issuing", "--issuing-passphrase-file", "phrases/fr-issuing")
    folder = fr.person(code)
    run(
        *("openssl", "req", "-new", "-key", f"{folder}/client.key", "-subj", "/"),
        *("-out", f"{folder}/request.csr"),
    )
    run(
        *("entente", "keys", "issue-agency", code, "--csr", f"{folder}/request.csr"),
        *("--out", f"{folder}/next.pem", "--home", "stick/fr-authorities", *medium),
    )
    renewed = fr.events("trust.renewed"), us.events("trust.renewed")
    node_phrase = ("--passphrase-file", "phrases/fr-node")
    run("entente", "keys", "carry-in", "stick/fr-authorities", "--home", "fr", *node_phrase)
    fr.said("trust.renewed", renewed[0] + 2)
    bring_trust(fr, us)
    us.said("trust.renewed", renewed[1] + 1)
    say("both are good: one agency still has its old certificate, and then the new one")
    exchange(fr, us)
    shutil.copy(folder / "next.pem", folder / "client.pem")
    exchange(fr, us)
    run("entente", "keys", "switch-authorities", "--home", "fr", "--yes")
    fr.said("trust.renewed", renewed[0] + 5)
    exchange(fr, us)
    bring_trust(fr, us)
    exchange(fr, us)
    say("the thief issues himself a certificate, and knocks")
    thief = Path("thief-agency")
    thief.mkdir()
    run(
        *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-noenc"),
        *("-keyout", f"{thief}/client.key", "-subj", "/", "-out", f"{thief}/request.csr"),
        show=False,
    )
    (thief / "client.key").chmod(0o600)
    run(
        *("entente", "keys", "issue-agency", code, "--csr", f"{thief}/request.csr"),
        *("--out", f"{thief}/client.pem", "--home", "thief-files", "--authority", "thief-offline"),
        *("--issuing-passphrase-file", "phrases/fr-thief"),
    )
    shutil.copy(folder / "ca.pem", thief / "ca.pem")
    run("entente", "inbox", "--as", f"{thief}", "--url", fr.url(), code=1)
    say("the new medium takes the place of the old one; against false nodes a new root follows, see below")
    shutil.move("fr-new-issuing/issuing", "fr-offline/issuing")
    run("entente", "keys", "rotate", "crl", "--home", "fr", *fr.issuing)
    bring_trust(fr, us)


def lost_root(fr: Nation, us: Nation) -> None:
    """Replace a root of which nothing is left, with the node elsewhere and messages all along."""
    title("A root that is lost or known to others / Racine perdue ou connue d'autres")
    shutil.rmtree("fr-offline/root")
    say("the medium of the old root is gone; nothing below needs it")
    node_phrase = ("--passphrase-file", "phrases/fr-node")
    for half in ("first", "second"):
        fr.write_phrase(half, f"new {half} half {os.urandom(9).hex()}")
    first, second = CUSTODIANS["fr"]
    run("entente", "keys", "carry-out", "stick/fr-root", "--home", "fr")
    run(
        *("entente", "keys", "new-root", "--home", "stick/fr-root", "--authority", "fr-new-root"),
        *fr.root[2:],
        *("--custodian", first, "--custodian", second, "--witness", "Witness FR"),
    )
    run("entente", "keys", "carry-in", "stick/fr-root", "--home", "fr", *node_phrase)
    say("the weekly export goes on, and offers the new root as well; without a comparison nothing changes")
    bring_trust(fr, us)
    exchange(fr, us)
    say("the people of both nations meet and compare")
    bring_trust(fr, us, "--replace-root", "--yes", "--by", first, "--by", CUSTODIANS["us"][0])
    say("agencies get both roots")
    for folder in Path("fr-people").iterdir():
        shutil.copy("fr/trust/own/next/ca.pem", folder / "ca.pem")
    exchange(fr, us)
    changes = fr.events("keys.changed"), us.events("peer.keys_changed")
    run("entente", "keys", "switch-root", "--home", "fr", "--yes")
    fr.said("keys.changed", changes[0] + 1)
    us.said("peer.keys_changed", changes[1] + 1)
    exchange(fr, us)
    say("the new medium takes the place of the old one; agencies keep the new root alone")
    shutil.move("fr-new-root/root", "fr-offline/root")
    for folder in Path("fr-people").iterdir():
        shutil.copy("fr/trust/own/root.pem", folder / "ca.pem")
    run("entente", "keys", "rotate", "log", "--home", "fr", *node_phrase, *fr.root)
    us.said("peer.keys_changed", changes[1] + 2)
    exchange(fr, us)


def rehearse(usage: str | None, port_base: int, procedures: Callable[[Nation, Nation], None]) -> None:
    """Run procedures on two nations in the new folder that the command line names, then verify both.

    Args:
        usage: What is printed instead if it names none.
        port_base: From which ports are counted, unless the command line says another.
        procedures: What is rehearsed, from the ceremonies on.
    """
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder is None or folder.exists():
        raise SystemExit(usage)
    base = int(sys.argv[2]) if len(sys.argv) > 2 else port_base
    folder.mkdir(mode=0o700, parents=True)
    os.chdir(folder)
    os.environ["COLUMNS"] = "200"
    fr, us = Nation("fr", base + 1), Nation("us", base + 11)
    try:
        procedures(fr, us)
        title("At the end both nations verify / À la fin, les deux nations vérifient")
        fr.stop()
        us.stop()
        for nation in (fr, us):
            run("entente", "audit", "verify", "--home", nation.name)
    finally:
        fr.stop()
        us.stop()
    say("rehearsed")


def emergencies(fr: Nation, us: Nation) -> None:
    """Rehearse everything of docs/key-emergencies.md but tokens."""
    prepare(fr, us)
    stolen_log_key(fr, us)
    stolen_port_key(fr, us)
    stolen_laptop(fr, us)
    lost_passphrase(fr, us)
    lost_half(fr)
    exchange(fr, us)
    stolen_issuing_medium(fr, us)
    lost_root(fr, us)


if __name__ == "__main__":
    rehearse(__doc__, 19_440, emergencies)
