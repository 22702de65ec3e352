"""Hybrid keys agree with the ML-DSA vectors, and refuse what is not exactly a signature."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from dilithium_py.ml_dsa import ML_DSA_87

from gateway.core.note import ALGORITHM_COSIGNATURE_ED25519, ALGORITHM_ED25519, MLDSA87_NOTE
from gateway.core.signature import (
    MLDSA87_SIGNATURE_BYTES,
    HybridSigner,
    HybridVerifier,
    SigningFaultError,
    SoftwareSigner,
)
from gateway.errors import MalformedError

MESSAGE = b"what is signed"
ED25519_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
"""RFC 8032, Section 7.1, TEST 1."""


@pytest.fixture(name="signer", scope="module")
def _signer() -> SoftwareSigner:
    return SoftwareSigner(name="log.test", ed25519_seed=ED25519_SEED, mldsa87_seed=bytes(32))


def known_answers() -> Iterator[dict[str, bytes]]:
    text = (
        files("cryptography_vectors")
        .joinpath("asymmetric/MLDSA/kat_MLDSA_87_det_pure.rsp")
        .read_text("utf-8")
    )
    for block in text.split("count = ")[1:]:
        fields = dict(line.split(" =", 1) for line in block.splitlines()[1:] if line)
        yield {name: bytes.fromhex(fields[name]) for name in ("xi", "pk", "msg", "sm", "ctx")}


def test_all_known_answers_of_ml_dsa_87_verify() -> None:
    count = 0
    for answer in known_answers():
        signer = SoftwareSigner(name="kat", ed25519_seed=bytes(32), mldsa87_seed=answer["xi"])
        verifier, signature = signer.verifier, answer["sm"][:MLDSA87_SIGNATURE_BYTES]
        assert verifier.mldsa87 == answer["pk"]
        assert verifier.is_mldsa87_valid(signature, answer["msg"], context=answer["ctx"])
        assert not verifier.is_mldsa87_valid(signature, answer["msg"], context=answer["ctx"][1:] + b"?")
        count += 1
    assert count == 100


def test_the_ed25519_key_is_that_of_rfc_8032(signer: SoftwareSigner) -> None:
    assert signer.verifier.ed25519.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign_ed25519(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.parametrize("context", [b"", MLDSA87_NOTE])
def test_pure_python_dilithium_and_this_code_read_each_other(signer: SoftwareSigner, context: bytes) -> None:
    public, private = ML_DSA_87.key_derive(bytes(32))
    assert public == signer.verifier.mldsa87

    assert ML_DSA_87.verify(public, MESSAGE, signer.sign_mldsa87(MESSAGE, context=context), ctx=context)
    assert signer.verifier.is_mldsa87_valid(
        ML_DSA_87.sign(private, MESSAGE, ctx=context), MESSAGE, context=context
    )


def test_a_software_key_is_a_hybrid_signer(signer: SoftwareSigner) -> None:
    as_port: HybridSigner = signer

    assert as_port.name == as_port.verifier.name == "log.test"


def test_a_context_is_part_of_the_signature(signer: SoftwareSigner) -> None:
    signature = signer.sign_mldsa87(MESSAGE, context=b"one")

    assert signer.verifier.is_mldsa87_valid(signature, MESSAGE, context=b"one")
    assert not signer.verifier.is_mldsa87_valid(signature, MESSAGE, context=b"two")
    assert not signer.verifier.is_mldsa87_valid(signature, MESSAGE)


def test_what_is_not_exactly_the_signature_does_not_verify(signer: SoftwareSigner) -> None:
    verifier = signer.verifier
    classical, post_quantum = signer.sign_ed25519(MESSAGE), signer.sign_mldsa87(MESSAGE)

    assert verifier.is_ed25519_valid(classical, MESSAGE)
    assert verifier.is_mldsa87_valid(post_quantum, MESSAGE)
    for wrong in (b"", classical[:-1], classical + b"\x00", bytes(64), post_quantum):
        assert not verifier.is_ed25519_valid(wrong, MESSAGE)
    for wrong in (b"", post_quantum[:-1], post_quantum + b"\x00", bytes(4_627), classical):
        assert not verifier.is_mldsa87_valid(wrong, MESSAGE)
    assert not verifier.is_ed25519_valid(classical, MESSAGE + b"\x00")
    assert not verifier.is_mldsa87_valid(post_quantum, MESSAGE + b"\x00")


def test_a_signature_that_does_not_verify_is_not_handed_out(signer: SoftwareSigner) -> None:
    faulty = SoftwareSigner(name="log.test", ed25519_seed=bytes(32), mldsa87_seed=bytes(31) + b"\x01")
    # As a device would be that signs with another key than it shows.
    faulty._verifier = signer.verifier

    with pytest.raises(SigningFaultError):
        faulty.sign_ed25519(MESSAGE)
    with pytest.raises(SigningFaultError):
        faulty.sign_mldsa87(MESSAGE)


@pytest.mark.parametrize(("ed25519", "mldsa87"), [(31, 32), (33, 32), (32, 31), (32, 64), (0, 0)])
def test_a_seed_has_32_bytes(ed25519: int, mldsa87: int) -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        SoftwareSigner(name="a", ed25519_seed=bytes(ed25519), mldsa87_seed=bytes(mldsa87))


@pytest.mark.parametrize(
    ("ed25519", "mldsa87"), [(31, 2_592), (33, 2_592), (32, 2_591), (32, 2_593), (32, 1_312)]
)
def test_public_keys_have_their_lengths(ed25519: int, mldsa87: int) -> None:
    with pytest.raises(MalformedError, match="public key"):
        HybridVerifier(name="a", ed25519=bytes(ed25519), mldsa87=bytes(mldsa87))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 256])
def test_a_key_name_can_stand_in_a_note(name: str) -> None:
    with pytest.raises(MalformedError, match="key name"):
        SoftwareSigner(name=name, ed25519_seed=bytes(32), mldsa87_seed=bytes(32))


def test_verifier_keys_tell_log_cosigner_and_statement_apart(signer: SoftwareSigner) -> None:
    log, cosigner = (
        signer.verifier.verifier_keys(cosigner=False),
        signer.verifier.verifier_keys(cosigner=True),
    )
    statement = signer.verifier.statement_keys()

    assert [log[0].algorithm, cosigner[0].algorithm] == [ALGORITHM_ED25519, ALGORITHM_COSIGNATURE_ED25519]
    assert log[1] == cosigner[1]
    assert statement[0] == log[0]
    assert statement[1].identifier == MLDSA87_NOTE
    assert len({key.key_id for key in (*log, *cosigner, *statement)}) == 4


def test_a_verifier_is_made_of_two_keys_of_one_name(signer: SoftwareSigner) -> None:
    first, second = signer.verifier.verifier_keys(cosigner=True)
    other = SoftwareSigner(name="other", ed25519_seed=bytes(32), mldsa87_seed=bytes(32))

    assert HybridVerifier.from_verifier_keys(first, second) == signer.verifier
    assert HybridVerifier.from_verifier_keys(second, first) == signer.verifier
    for pair in ((first, first), (second, second), (first, other.verifier.verifier_keys(cosigner=True)[1])):
        with pytest.raises(MalformedError, match="one name"):
            HybridVerifier.from_verifier_keys(*pair)


def test_no_private_key_is_shown(signer: SoftwareSigner) -> None:
    assert ED25519_SEED.hex() not in repr(signer)
    assert not hasattr(signer, "__dict__")
