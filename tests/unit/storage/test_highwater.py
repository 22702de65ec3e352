"""The high-water file: monotone, durable, shared, and refused when damaged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.merkle import Hash
from gateway.errors import OperatorError
from gateway.storage import highwater
from gateway.storage.highwater import FileHighWater, HighWaterError

OWN = "fr.gateway.test/exchange/us"
PEER = "us.gateway.test/exchange/fr"


def root(word: object) -> Hash:
    return Hash(hashlib.sha256(str(word).encode()).digest())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "high-water"


@pytest.fixture
def file(place: Path) -> Iterator[FileHighWater]:
    file = FileHighWater(place)
    yield file
    file.close()


def reread(place: Path) -> dict[str, tuple[int, Hash]]:
    again = FileHighWater(place)
    try:
        return dict(again.read())
    finally:
        again.close()


async def test_marks_are_on_disk_when_record_returns(place: Path, file: FileHighWater) -> None:
    assert file.read() == {}
    await file.record({OWN: (5, root(5))})
    assert reread(place) == file.read() == {OWN: (5, root(5))}
    await file.record({PEER: (7, root(7)), OWN: (6, root(6))})
    assert reread(place) == file.read() == {OWN: (6, root(6)), PEER: (7, root(7))}


async def test_marks_never_go_back(place: Path, file: FileHighWater) -> None:
    await file.record({OWN: (5, root(5))})
    length = place.stat().st_size
    await file.record({OWN: (4, root(4))})
    await file.record({OWN: (5, root(5))})
    await file.record({})
    assert reread(place) == {OWN: (5, root(5))}
    assert place.stat().st_size == length


async def test_one_size_never_has_two_roots(place: Path, file: FileHighWater) -> None:
    await file.record({OWN: (5, root(5))})
    with pytest.raises(HighWaterError, match="another root"):
        await file.record({PEER: (1, root(1)), OWN: (5, root("other"))})
    # Nothing of a refused call is kept, and the file goes on.
    assert file.read() == {OWN: (5, root(5))}
    await file.record({OWN: (6, root(6))})
    assert reread(place) == {OWN: (6, root(6))}


async def test_two_roots_are_noticed_before_the_first_is_durable(file: FileHighWater) -> None:
    answers = await asyncio.gather(
        file.record({OWN: (5, root(5))}), file.record({OWN: (5, root("other"))}), return_exceptions=True
    )
    assert answers[0] is None
    assert isinstance(answers[1], HighWaterError)


async def test_concurrent_calls_share_writes_and_all_are_durable(
    place: Path, file: FileHighWater, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        begun.set()
        go_on.wait(60)

    await file.record({OWN: (1, root(1))})
    monkeypatch.setattr(os, "fdatasync", sync)
    first = asyncio.create_task(file.record({OWN: (2, root(2))}))
    await asyncio.to_thread(begun.wait, 60)
    others = [asyncio.create_task(file.record({OWN: (n, root(n))})) for n in range(3, 200)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *others)
    assert reread(place) == {OWN: (199, root(199))}
    assert len(synced) == 2


async def test_a_mark_of_a_thread_is_on_disk_when_it_goes_on(place: Path, file: FileHighWater) -> None:
    def mark() -> dict[str, tuple[int, Hash]]:
        file.record_now({OWN: (5, root(5))})
        return reread(place)

    assert await asyncio.to_thread(mark) == {OWN: (5, root(5))}
    with pytest.raises(HighWaterError, match="another root"):
        file.record_now({OWN: (5, root("other"))})


async def test_a_cancelled_caller_takes_the_write_from_nobody(place: Path, file: FileHighWater) -> None:
    tasks = [asyncio.create_task(file.record({OWN: (n, root(n))})) for n in range(1, 6)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert reread(place) == {OWN: (5, root(5))}


async def test_a_long_file_is_written_anew(
    place: Path, file: FileHighWater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(highwater, "REWRITE_BYTES", 1_000)
    for size in range(1, 40):
        await file.record({OWN: (size, root(size))})
        assert place.stat().st_size <= 1_000
    assert reread(place) == {OWN: (39, root(39))}


async def test_a_line_that_a_crash_tore_is_ignored(place: Path, file: FileHighWater) -> None:
    for size in (1, 2, 3):
        await file.record({OWN: (size, root(size))})
    whole = place.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        place.write_bytes(whole[:cut])
        assert reread(place) == {OWN: (2, root(2))}
    place.write_bytes(whole[:last] + bytes(50))
    assert reread(place) == {OWN: (2, root(2))}


async def test_any_other_damage_is_refused(place: Path, file: FileHighWater) -> None:
    for size in (1, 2):
        await file.record({OWN: (size, root(size))})
    whole = place.read_bytes()
    first = whole.index(b"\n") + 1
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole) - 1)]
    damaged += [b"", b"\n", whole[: first - 1], whole[1:], whole[first:-1], whole.replace(b"\n", b"\n\n")]
    # The very last line end cut off is what a crash does; every other change is damage.
    for data in damaged:
        place.write_bytes(data)
        with pytest.raises(HighWaterError, match="damaged"):
            FileHighWater(place)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"a":1}',
        b'{"a":[1]}',
        b'{"a":[1,"zz"]}',
        b'{"a":[1,"00"]}',
        b'{"a":["1","' + b"00" * 32 + b'"]}',
        b'{"a":[-1,"' + b"00" * 32 + b'"]}',
        b'{"a":[true,"' + b"00" * 32 + b'"]}',
    ],
)
def test_a_line_with_a_right_checksum_and_a_wrong_body_is_refused(tmp_path: Path, body: bytes) -> None:
    place = tmp_path / "high-water"
    place.write_bytes(hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n")
    with pytest.raises(HighWaterError, match="damaged"):
        FileHighWater(place)


def test_a_file_that_is_far_too_long_is_refused_unread(tmp_path: Path) -> None:
    place = tmp_path / "high-water"
    place.touch()
    os.truncate(place, highwater.MAX_FILE_BYTES + 1)
    with pytest.raises(HighWaterError, match="damaged"):
        FileHighWater(place)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HighWaterError, match="cannot be read"):
        FileHighWater(tmp_path)


async def test_a_failing_disk_fails_this_call_and_every_later_one(
    place: Path, file: FileHighWater, monkeypatch: pytest.MonkeyPatch
) -> None:
    await file.record({OWN: (1, root(1))})

    def fail(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fdatasync", fail)
    answers = await asyncio.gather(
        *(file.record({OWN: (n, root(n))}) for n in (2, 3, 4)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [HighWaterError] * 3
    monkeypatch.undo()
    with pytest.raises(OperatorError, match="could not be written"):
        await file.record({OWN: (9, root(9))})
    assert file.read() == {OWN: (1, root(1))}


async def test_a_folder_that_went_away_is_an_error_of_the_operator(place: Path) -> None:
    """It may be a disk that is not mounted: marks on another disk would protect nothing."""
    place.parent.mkdir()
    file = FileHighWater(place)
    place.parent.rmdir()
    with pytest.raises(HighWaterError, match="could not be written"):
        await file.record({OWN: (1, root(1))})
    assert not place.parent.exists()
    file.close()


def test_reading_creates_nothing(place: Path) -> None:
    assert reread(place) == {}
    assert not place.parent.exists()


async def test_the_file_belongs_to_its_owner_alone(place: Path, file: FileHighWater) -> None:
    before = os.umask(0)
    try:
        await file.record({OWN: (1, root(1))})
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in place.parent.iterdir()) == ["high-water"]
