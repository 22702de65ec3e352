"""Rehearse the life of a node whose signing keys are in a PKCS#11 token; what this prints is the transcript.

Two ceremonies in production mode, of which the French one makes half of each signing key in a
token of SoftHSM, two running nodes, and the procedures of docs/key-emergencies.md about tokens:
one that was pulled, a wrong PIN, a lost one that is replaced, a lost one that is not.

    .venv/bin/python scripts/rehearse_hsm.py DIR [PORT]     DIR is new; ports are counted from PORT

It needs openssl and softhsm2. Nothing outside DIR is touched, and both nodes are stopped at the end.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from scripts.rehearse_keys import (
    AGENCIES,
    ENTENTE,
    Nation,
    exchange,
    prepare,
    rehearse,
    run,
    say,
    send,
    title,
    until,
)

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN = "fr-node"  # noqa: S105 - a label
TOKENS, DRAWER = Path("hsm/tokens"), Path("hsm/drawer")
PIN_FILE = "phrases/fr-pin"


def new_token() -> None:
    """Initialise a token, as its security officer does."""
    run(
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        TOKEN,
        "--so-pin",
        "8765-4321",
        "--pin",
        "1234-5678",
    )


def set_up_device() -> None:
    """Make a device with one token in the folder of the rehearsal."""
    TOKENS.mkdir(parents=True)
    conf = Path("hsm/softhsm2.conf")
    conf.write_text(
        f"directories.tokendir = {TOKENS.absolute()}\nobjectstore.backend = file\nlog.level = ERROR\n",
        encoding="utf-8",
    )
    os.environ["SOFTHSM2_CONF"] = str(conf.absolute())
    title("A token is prepared / Un jeton est préparé")
    new_token()


def all_arrived(receiver: Nation, messages: list[str]) -> None:
    """Wait until an agency has collected messages."""

    def arrived() -> bool:
        reader = ["--as", f"{receiver.person(AGENCIES[receiver.name])}", "--url", receiver.url()]
        run(
            "entente", "inbox", *reader, "--out", f"inbox-{receiver.name}", "--ack", "--wait", "5", show=False
        )
        return all(Path(f"inbox-{receiver.name}", f"{message}.json").exists() for message in messages)

    until("messages", arrived)
    say(f"{len(messages)} messages that waited have arrived at {AGENCIES[receiver.name]}")


def cannot_sign(fr: Nation) -> None:
    """Wait until the node says that it cannot sign, and show it."""

    def says_so() -> bool:
        done = subprocess.run(
            [ENTENTE, "health", "--home", fr.name], check=False, capture_output=True, text=True
        )
        return "cannot-sign" in done.stdout

    until("the node notices", says_so)
    run("entente", "health", "--home", "fr", code=1)


def what_is_where() -> None:
    """Show the configuration and the key files."""
    title("What is in the token / Ce qui est dans le jeton")
    for line in run("entente", "config", "check", "--home", "fr", show=False).splitlines():
        if line.startswith("keys.token"):
            say(line.replace(str(Path.cwd()), "…"))
    for line in run("entente", "keys", "list", "--home", "fr", show=False).splitlines():
        if "in-token" in line:
            say(line.strip())


def pulled_token(fr: Nation, us: Nation) -> None:
    """Take the token away from a running node, and put it back."""
    title("Pulled token / Jeton débranché")
    TOKENS.rename(DRAWER)
    cannot_sign(fr)
    say("agencies of both nations go on posting")
    there, here = [send(fr, us)], [send(us, fr)]
    DRAWER.rename(TOKENS)
    fr.said("token.found")
    all_arrived(us, there)
    all_arrived(fr, here)


def wrong_pin(fr: Nation, us: Nation) -> None:
    """Start the node with a wrong PIN: it is tried once."""
    title("Wrong PIN / Mauvais code PIN")
    fr.stop()
    fr.write_phrase("pin", "1234-5687")
    run("entente", "serve", "--home", "fr", code=1)
    say("a supervisor starts it again; the token is not asked a second time")
    run("entente", "serve", "--home", "fr", code=1)
    run("entente", "config", "check", "--home", "fr", show=False)
    fr.write_phrase("pin", "1234-5678")
    fr.start()
    exchange(fr, us)


def rotate_both(fr: Nation, changed: int) -> None:
    """Make new keys of logs and cosigner, and let the root state them."""
    for number, kind in enumerate(("log", "cosigner"), 1):
        run(
            *("entente", "keys", "rotate", kind, "--home", "fr", "--passphrase-file", "phrases/fr-node"),
            *fr.root,
        )
        fr.said("keys.changed", changed + number)


def lose_token(fr: Nation, us: Nation) -> tuple[list[str], list[str]]:
    """Lose the token with all its keys while messages are on their way; return those."""
    run("softhsm2-util", "--delete-token", "--token", TOKEN, show=False)
    say("the token is gone, and its keys with it")
    there, here = [send(fr, us)], [send(us, fr)]
    cannot_sign(fr)
    there += [send(fr, us)]
    say("the node still accepts: nothing that agencies post is lost")
    return there, here


def lost_token(fr: Nation, us: Nation) -> None:
    """Replace a token that is lost by a new one, under the running node."""
    title("Lost token, another one at hand / Jeton perdu, un autre disponible")
    there, here = lose_token(fr, us)
    new_token()
    rotate_both(fr, 0)
    all_arrived(us, there)
    all_arrived(fr, here)
    run("entente", "health", "--home", "fr")
    exchange(fr, us)


def lost_token_without_another(fr: Nation, us: Nation) -> None:
    """Go on with keys in files where no other token is at hand."""
    title("Lost token, no other one at hand / Jeton perdu, aucun autre disponible")
    there, here = lose_token(fr, us)
    config = Path("fr/gateway.toml")
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("\n[keys.token]")], encoding="utf-8")
    say("[keys.token] is taken out of gateway.toml: new keys are made in sealed files")
    rotate_both(fr, 2)
    all_arrived(us, there)
    all_arrived(fr, here)
    fr.stop()
    fr.start()
    exchange(fr, us)
    say(
        "the node runs without a token; once there is a new one, the section comes back and both rotate again"
    )
    for line in run(
        "entente", "log", "vkeys", "--home", "fr", "--log", "exchange/us", "--all", show=False
    ).splitlines():
        if line.startswith("#"):
            say(f"key of exchange/us: {line[2:]}")


def tokens(fr: Nation, us: Nation) -> None:
    """Rehearse what docs/key-emergencies.md says of tokens."""
    fr.write_phrase("pin", "1234-5678")
    fr.token = ("--token-module", str(MODULE), "--token-label", TOKEN, "--token-pin-file", PIN_FILE)
    set_up_device()
    prepare(fr, us)
    what_is_where()
    pulled_token(fr, us)
    wrong_pin(fr, us)
    lost_token(fr, us)
    lost_token_without_another(fr, us)


if __name__ == "__main__":
    rehearse(__doc__, 19_540, tokens)
