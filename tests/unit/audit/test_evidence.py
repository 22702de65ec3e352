"""Evidence of a message: what it proves, and what refuses it."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.audit.evidence import verify_evidence
from gateway.audit.report import Outcome
from gateway.audit.trust import Trust, parse_trust
from gateway.core.archive import read_archive, write_archive
from gateway.core.evidence import MAX_EVIDENCE_BYTES, parse_evidence
from gateway.core.evidence_text import LISEZMOI, README, commands
from gateway.errors import MalformedError
from tests.unit.audit.evidence_making import document, forgeries, make_evidence, variants
from tests.unit.audit.making import FR, US, root_vkeys, vkeys

GOOD = variants()
FORGED = forgeries()
KEYS = parse_trust([line for node in (FR, US) for keys in (1, 2) for line in vkeys(node, keys)])
ROOTS = parse_trust([*root_vkeys(FR), *root_vkeys(US)])

PROVEN = {
    "disclosed": "origin, delivery, acceptance, content",
    "sealed": "origin, delivery, acceptance",
    "erased": "origin, delivery, acceptance",
    "refused": "origin, delivery, acceptance, content",
    "without receipt": "origin, delivery, content",
    "not cosigned": "origin, acceptance, content",
    "rules changed": "origin, delivery, acceptance, content",
    "long log": "origin, delivery, acceptance, content",
    "last entry": "origin, delivery, acceptance, content",
    "new keys of the sender": "origin, delivery, acceptance, content",
    "new keys of the receiver": "origin, delivery, acceptance, content",
    "new keys between receipt and cosignature": "origin, delivery, acceptance, content",
    "new keys between cosignature and receipt": "origin, delivery, acceptance, content",
    "second generation": "origin, delivery, acceptance, content",
    "of an earlier release": "origin, delivery, acceptance, content",
    "of an earlier release, not cosigned": "origin, content",
    "a rewritten log and a true receipt": "origin, delivery, acceptance, content",
}
"""As far as the keys in the file are the newest that are known."""

OF_REPLACED_KEY = {
    "without receipt": "origin, content",
    "of an earlier release": "origin, content",
    "a rewritten log and a true receipt": "origin, content",
}
"""For who knows that the cosigner has a later key, where no receipt bears the cosignature out."""
TITLE = "evidence of 01a20847-0135-7993-b063-b5d5cb27d3ff"


@pytest.mark.parametrize("trust", [KEYS, ROOTS], ids=["vkeys", "roots"])
@pytest.mark.parametrize("name", list(GOOD))
def test_evidence_proves_what_is_in_it(name: str, trust: Trust) -> None:
    report = verify_evidence(GOOD[name].encode(), trust=trust)
    proven = OF_REPLACED_KEY.get(name, PROVEN[name]) if trust is KEYS else PROVEN[name]
    assert report.headline == f"VERIFIED {TITLE}: {proven}"
    assert ("content" in PROVEN[name]) == (report.message is not None)


def test_a_disclosed_key_opens_the_message_as_it_was_posted() -> None:
    report = verify_evidence(GOOD["disclosed"].encode(), trust=ROOTS)
    assert report.message is not None
    assert json.loads(report.message) == document()


def test_who_trusts_both_roots_of_a_nation_is_told_that_the_replaced_one_vouches() -> None:
    both = parse_trust([*root_vkeys(FR), *root_vkeys(FR, 2), *root_vkeys(US)])
    report = verify_evidence(GOOD["disclosed"].encode(), trust=both)
    assert report.is_verified
    detail = next(check.detail for check in report.checks if check.name == "statements")
    assert detail.endswith(f"signed by the national roots; of {FR} by a root that was replaced")
    newest = parse_trust([*root_vkeys(FR, 2), *root_vkeys(US)])
    assert not verify_evidence(GOOD["disclosed"].encode(), trust=newest).is_verified


def test_after_erasure_origin_and_delivery_still_verify() -> None:
    report = verify_evidence(GOOD["erased"].encode(), trust=ROOTS)
    assert report.is_verified
    outcomes = {check.name: check.outcome for check in report.checks}
    assert outcomes["origin"] is outcomes["delivery"] is outcomes["acceptance"] is Outcome.HELD
    assert outcomes["content"] is Outcome.NOT_CHECKED


def test_a_refusal_is_told_with_its_rule() -> None:
    facts = dict(verify_evidence(GOOD["refused"].encode(), trust=ROOTS).facts)
    assert facts["refused"].endswith(", rule, rule 7")
    assert "received" not in facts


@pytest.mark.parametrize("name", list(FORGED))
def test_who_holds_keys_cannot_forge(name: str) -> None:
    data = FORGED[name].encode()
    assert parse_evidence(data) == FORGED[name]
    for trust in (KEYS, ROOTS):
        report = verify_evidence(data, trust=trust)
        # With the logs' own keys at hand, nobody asks the root that signed the statement.
        if name.endswith("statement with a flipped signature") and trust is KEYS:
            assert report.is_verified
            continue
        assert not report.is_verified
        assert report.message is None


def test_a_key_that_is_not_trusted_proves_nothing() -> None:
    report = verify_evidence(GOOD["disclosed"].encode(), trust=parse_trust([]))
    assert report.headline.startswith(f"NOT VERIFIED {TITLE}: origin: no trusted keys for the log")
    half = verify_evidence(GOOD["disclosed"].encode(), trust=parse_trust(vkeys(FR)))
    assert "delivery: no trusted keys for the cosigner" in str(half.reason)


def test_other_keys_than_the_trusted_ones_are_refused() -> None:
    lines = [line.replace(FR, "xx.gateway.test") if FR in line else line for line in root_vkeys(FR)]
    trust = parse_trust([*lines, *root_vkeys(US)])
    swapped = Trust(
        logs={**KEYS.logs, f"{FR}/exchange/us": KEYS.logs[f"{FR}/audit"]},
        cosigners=KEYS.cosigners,
        roots=trust.roots,
    )
    report = verify_evidence(GOOD["disclosed"].encode(), trust=swapped)
    assert "names other keys" in str(report.reason)


def test_a_second_statement_that_names_no_other_keys_is_superfluous() -> None:
    apart = make_evidence(receiver_keys=2, cosigner_keys=1)
    with pytest.raises(MalformedError, match="second statement"):
        replace(apart, cosigner_statement=apart.receiver_statement).encode()


def test_the_same_evidence_is_the_same_file() -> None:
    evidence = GOOD["disclosed"]
    assert (
        evidence.encode()
        == replace(evidence, schema=dict(sorted(evidence.schema.items(), reverse=True))).encode()
    )
    assert parse_evidence(evidence.encode()) == evidence


def test_every_zip_program_opens_the_file() -> None:
    evidence = GOOD["disclosed"]
    with zipfile.ZipFile(io.BytesIO(evidence.encode())) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[:5] == ["README.txt", "LISEZMOI.txt", "policy", "entry", "entry.tlog-proof"]
        assert archive.read("ciphertext") == evidence.ciphertext
        assert archive.read("content-key") == evidence.content_key


def test_no_byte_of_the_file_can_be_flipped() -> None:
    data = make_evidence(sealed=document(to=[{"agency": "US.CBP.NTC"}])).encode()
    rng = random.Random(6962)  # noqa: S311
    places = sorted({*rng.sample(range(len(data)), 120), *range(0, 40, 3), *range(len(data) - 22, len(data))})
    for at in places:
        altered = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        assert not verify_evidence(altered, trust=ROOTS).is_verified, at


@pytest.mark.parametrize(
    "name", [name for name, _ in read_archive(GOOD["disclosed"].encode(), max_bytes=2**24)]
)
def test_no_member_can_be_removed_emptied_or_lengthened(name: str) -> None:
    members = dict(read_archive(GOOD["disclosed"].encode(), max_bytes=MAX_EVIDENCE_BYTES))
    absent = {key: value for key, value in members.items() if key != name}
    # Without its key the content is merely not disclosed, which is what the sender may choose; without
    # the path of the receipt it proves no less here, where the cosignature says the same.
    if name not in {"content-key", "receipt.path"}:
        assert not verify_evidence(write_archive(list(absent.items())), trust=ROOTS).is_verified
    for content in (b"", members[name] + b"\0", members[name][1:]):
        altered = write_archive([(key, content if key == name else value) for key, value in members.items()])
        assert not verify_evidence(altered, trust=ROOTS).is_verified


def zip_with(*members: tuple[str, bytes], **options: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression=options.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_in_another_form_are_refused_before_they_are_unpacked() -> None:
    data = GOOD["disclosed"].encode()
    members = read_archive(data, max_bytes=MAX_EVIDENCE_BYTES)
    entry = dict(members)["entry"]
    bomb = zip_with(("README.txt", bytes(50 * 1024 * 1024)), compression=zipfile.ZIP_DEFLATED)
    for altered in (
        b"",
        b"PK",
        data + b"\0",
        b"\0" + data,
        data[:-1],
        data[: len(data) // 2],
        data + data,
        bomb,
        zip_with(*members),
        zip_with(*members, ("entry", entry)),
        zip_with(*members, ("../entry", entry)),
        write_archive([*members, ("superfluous", b"")]),
        write_archive([*members, ("schema/more.json", b"{}")]),
        write_archive([members[1], members[0], *members[2:]]),
        bytes(MAX_EVIDENCE_BYTES + 1),
    ):
        report = verify_evidence(altered, trust=ROOTS)
        assert not report.is_verified
    assert verify_evidence(data, trust=ROOTS).is_verified


def test_a_report_is_plain_data_for_machines() -> None:
    found = json.loads(json.dumps(verify_evidence(GOOD["disclosed"].encode(), trust=ROOTS).as_json()))
    assert found["verdict"] == "VERIFIED"
    assert found["facts"]["from"] == "FR.DGDDI.SARC at fr.gateway.test"
    assert {check["outcome"] for check in found["checks"]} == {"held"}


# --- the file's own instructions ---------------------------------------------------------


def unpacked(folder: Path, name: str = "disclosed") -> Path:
    with zipfile.ZipFile(io.BytesIO(GOOD[name].encode())) as archive:
        archive.extractall(folder)
    return folder


def shell(folder: Path, script: str) -> str:
    found = subprocess.run(
        ["bash", "-eu"], input=script, cwd=folder, capture_output=True, text=True, check=False
    )
    return found.stdout + found.stderr


def test_both_texts_have_the_same_commands() -> None:
    for text in (README, LISEZMOI):
        for command in commands():
            assert command.encode() in text
    assert README.isascii()
    assert max(map(len, README.decode().splitlines())) <= 110


def test_the_commands_of_the_instructions_do_what_they_say(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    tree, origin, delivery, post_quantum, ciphertext, schema = commands()
    assert shell(folder, tree) == "in the log\n"
    assert shell(folder, tree.replace("python3 - entry ", "python3 - receipt ")) == "in the log\n"
    assert "Verified Successfully" in shell(folder, origin)
    assert "Verified Successfully" in shell(folder, f"{origin}\n{delivery}").splitlines()[-1]
    assert shell(folder, ciphertext) == "1\n"
    assert shell(folder, schema) == "1\n"
    for signer, line in (("sender", 2), ("receiver", 4)):
        script = post_quantum.replace("sed -n 2p keys/sender.vkeys", f"sed -n {line}p keys/{signer}.vkeys")
        assert not re.search("error|invalid", shell(folder, f"{origin}\n{script}"))
        key = load_der_public_key((folder / "key.der").read_bytes())
        assert isinstance(key, MLDSA87PublicKey)
        key.verify((folder / "sig").read_bytes(), (folder / "message").read_bytes())


def test_the_commands_of_the_instructions_see_what_was_altered(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    tree, origin, _, _, ciphertext, schema = commands()
    entry = (folder / "entry").read_bytes()
    (folder / "entry").write_bytes(entry[:-1] + bytes([entry[-1] ^ 1]))
    assert shell(folder, tree) == "NOT IN THE LOG\n"
    proof = (folder / "entry.tlog-proof").read_bytes()
    (folder / "entry.tlog-proof").write_bytes(proof.replace(b"\n9\n", b"\n8\n"))
    assert "Verified Successfully" not in shell(folder, origin)
    (folder / "ciphertext").write_bytes(b"x")
    assert shell(folder, ciphertext) == "0\n"
    (folder / "schema/agreement.json").write_bytes(b"x")
    assert shell(folder, schema) == "0\n"
