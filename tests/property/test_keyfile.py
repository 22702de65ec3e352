"""Laws of key files: what is sealed is opened, and what is altered in any byte is refused."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keyring.keyfile import (
    KeyHeader,
    PassphraseLock,
    Purpose,
    UnlockKey,
    WrappedLock,
    create_key_file,
    open_key_file,
    parse,
    render,
)
from gateway.keyring.refusals import KeyFileError, Refusal

UNLOCK = UnlockKey(key_id=b"unlocker", secret=b"s" * 32)
NAMES = st.text(max_size=40).filter(lambda text: text.isprintable())
TIMES = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware below
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)
LOCKS = st.one_of(
    st.builds(WrappedLock, under=st.binary(min_size=8, max_size=8)),
    st.builds(
        PassphraseLock,
        memory_kib=st.integers(0, 2**53 - 1),
        passes=st.integers(0, 2**53 - 1),
        lanes=st.integers(0, 2**53 - 1),
        salt=st.binary(max_size=64),
    ),
)
HEADERS = st.builds(
    KeyHeader,
    purpose=st.sampled_from(Purpose),
    key_id=st.binary(min_size=8, max_size=8),
    name=NAMES,
    created=TIMES,
    test=st.booleans(),
    lock=LOCKS,
)
NOWHERE = Path("a.key")


def sealed_file(secret: bytes, purpose: Purpose, *, test: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.key"
        create_key_file(
            path,
            secret,
            purpose=purpose,
            key_id=b"12345678",
            name="fr.gateway.test",
            created=datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC),
            test=test,
            opener=UNLOCK,
        )
        return path.read_bytes()


def opened(content: bytes, purpose: Purpose) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.key"
        path.write_bytes(content)
        path.chmod(0o600)
        return open_key_file(path, purpose=purpose, opener=UNLOCK, allow_test=True)[1]


SAMPLE = sealed_file(bytes(range(64)), Purpose.LOG, test=True)


@given(header=HEADERS, sealed=st.binary(max_size=200))
def test_every_header_is_read_back(header: KeyHeader, sealed: bytes) -> None:
    assert parse(render(header, sealed), path=NOWHERE) == (header, sealed)


@given(secret=st.binary(max_size=300), purpose=st.sampled_from(Purpose), test=st.booleans())
def test_every_secret_is_opened_again(secret: bytes, purpose: Purpose, test: bool) -> None:
    assert opened(sealed_file(secret, purpose, test=test), purpose) == secret


@given(position=st.integers(0, len(SAMPLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_wherever_it_is(position: int, bit: int) -> None:
    altered = bytearray(SAMPLE)
    altered[position] ^= 1 << bit

    with pytest.raises(KeyFileError):
        opened(bytes(altered), Purpose.LOG)


@given(end=st.integers(0, len(SAMPLE) - 1))
def test_every_beginning_of_a_file_is_truncated(end: int) -> None:
    with pytest.raises(KeyFileError) as caught:
        opened(SAMPLE[:end], Purpose.LOG)

    assert caught.value.refusal is Refusal.TRUNCATED


@given(extra=st.binary(min_size=1, max_size=40))
def test_a_file_with_anything_behind_it_is_refused(extra: bytes) -> None:
    with pytest.raises(KeyFileError):
        opened(SAMPLE + extra, Purpose.LOG)


@given(content=st.binary(max_size=300))
def test_other_bytes_are_refused_and_nothing_else_happens(content: bytes) -> None:
    for ending in (b"", b"\n}\n"):
        with pytest.raises(KeyFileError):
            opened(content + ending, Purpose.LOG)


@given(purpose=st.sampled_from([purpose for purpose in Purpose if purpose is not Purpose.LOG]))
def test_no_other_purpose_opens_a_file(purpose: Purpose) -> None:
    with pytest.raises(KeyFileError) as caught:
        opened(SAMPLE, purpose)

    assert caught.value.refusal is Refusal.OTHER_PURPOSE
