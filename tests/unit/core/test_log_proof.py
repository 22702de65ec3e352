"""Proofs as files: one form, and nothing in it that nobody vouches for."""

from __future__ import annotations

import pytest

from gateway.core.log_proof import LogProof, parse_log_proof
from gateway.core.merkle import Hash
from gateway.errors import MalformedError

NOTE = b"origin\n1\nroot\n\n\xe2\x80\x94 origin AAAAAA==\n"
PROOF = LogProof(index=200, hashes=tuple(Hash(bytes([n]) * 32) for n in range(9)), note=NOTE)


@pytest.mark.parametrize(
    "proof",
    [PROOF, LogProof(index=0, hashes=(), note=NOTE), LogProof(index=2**62, hashes=PROOF.hashes, note=b"")],
)
def test_what_is_written_is_read_back(proof: LogProof) -> None:
    assert parse_log_proof(proof.encode()) == proof


def test_the_form_is_that_of_the_c2sp_page() -> None:
    head = b"c2sp.org/tlog-proof@v1\nindex 0\n\n"
    assert LogProof(index=0, hashes=(), note=NOTE).encode() == head + NOTE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"index 200", b"index 0200"),
        (b"index 200", b"index +200"),
        (b"index 200", b"index 200 "),
        (b"index 200", b"extra AA==\nindex 200"),
        (b"index 200", b"index 99999999999999999999"),
        (b"AAA=\n", b"AAB=\n"),
        (b"AAA=\n", b"AA==\n"),
        (b"AAA=\n", b"AAA=\r\n"),
        (b"\n\norigin", b"\norigin"),
    ],
)
def test_another_form_is_refused(old: bytes, new: bytes) -> None:
    data = PROOF.encode()
    assert old in data
    with pytest.raises(MalformedError):
        parse_log_proof(data.replace(old, new, 1))


def test_a_proof_longer_than_any_tree_needs_is_refused() -> None:
    data = LogProof(index=0, hashes=(Hash(bytes(32)),) * 64, note=NOTE).encode()
    with pytest.raises(MalformedError):
        parse_log_proof(data)
    with pytest.raises(MalformedError):
        parse_log_proof(PROOF.encode() + bytes(100_000))
