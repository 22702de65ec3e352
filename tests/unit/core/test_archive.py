"""The archive that has one form: what is written is read back, everything else is refused."""

from __future__ import annotations

import io
import zipfile

import pytest

from gateway.core.archive import MAX_MEMBERS, read_archive, write_archive
from gateway.errors import MalformedError

MEMBERS = (("a", b""), ("folder/b.txt", b"text\n"), ("c-d_e", bytes(70_000)))


def test_what_is_written_is_read_back() -> None:
    for members in ((), MEMBERS[:1], MEMBERS):
        assert read_archive(write_archive(members), max_bytes=100_000) == members


def test_the_library_reads_the_same_members_with_fixed_attributes() -> None:
    with zipfile.ZipFile(io.BytesIO(write_archive(MEMBERS))) as archive:
        found = [(info.filename, archive.read(info)) for info in archive.infolist()]
        assert tuple(found) == MEMBERS
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "a\\b", "é", "a\0", "a\n", "x" * 121],
)
def test_a_name_that_is_no_plain_path_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="plain relative paths"):
        write_archive([(name, b"")])


def test_two_members_of_one_name_and_too_many_are_not_written() -> None:
    for members in ([("a", b"1"), ("a", b"2")], [(str(number), b"") for number in range(MAX_MEMBERS + 1)]):
        with pytest.raises(ValueError, match="plain relative paths"):
            write_archive(members)


def test_no_byte_can_be_flipped_removed_or_added() -> None:
    data = write_archive(MEMBERS[:2])
    for at in range(len(data)):
        for altered in (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + b"P" + data[at:],
            data[:at],
        ):
            try:
                members = read_archive(altered, max_bytes=1_000)
            except MalformedError:
                continue
            # Only what is another archive in its one form is read as that.
            assert altered == data == write_archive(members)


def test_an_archive_that_is_too_long_is_not_looked_at() -> None:
    data = write_archive(MEMBERS)
    with pytest.raises(MalformedError, match="longer than 100 bytes"):
        read_archive(data, max_bytes=100)
