"""A private file is one that nobody else could have read or put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.keyring.files import (
    MAX_PRIVATE_BYTES,
    destroy,
    make_private_folder,
    make_public_folder,
    read_private,
    read_public,
    write_private,
    write_public,
)
from gateway.keyring.refusals import KeyFileError, Refusal
from tests.unit.keyring.helpers import private_file


def refusal(path: Path, **options: int) -> Refusal:
    with pytest.raises(KeyFileError) as caught:
        read_private(path, **options)
    assert caught.value.path == path
    assert path.name in str(caught.value)
    return caught.value.refusal


def test_what_is_written_is_read_back_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    old = os.umask(0)
    try:
        write_private(path, b"secret")
    finally:
        os.umask(old)

    assert read_private(path) == b"secret"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["a.key"]


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o666])
def test_a_file_open_to_group_or_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = private_file(tmp_path / "a.key", b"secret")
    path.chmod(mode)

    assert refusal(path) is Refusal.SHARED


def test_a_symbolic_link_is_refused_wherever_it_points(tmp_path: Path) -> None:
    target = private_file(tmp_path / "a.key", b"secret")
    link, dangling = tmp_path / "link.key", tmp_path / "dangling.key"
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "nothing")

    assert refusal(link) is Refusal.SYMLINK
    assert refusal(dangling) is Refusal.SYMLINK


def test_a_folder_is_not_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "a.key").mkdir(mode=0o700)

    assert refusal(tmp_path / "a.key") is Refusal.NOT_A_FILE


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.key", 0o600)

    assert refusal(tmp_path / "a.key") is Refusal.NOT_A_FILE


def test_a_device_is_refused() -> None:
    assert refusal(Path("/dev/null")) is Refusal.NOT_A_FILE


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", b"secret")

    assert refusal(path, owner_uid=os.geteuid() + 1) is Refusal.OTHER_OWNER


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a.key") is Refusal.ABSENT


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", bytes(MAX_PRIVATE_BYTES + 1))

    assert refusal(path) is Refusal.TOO_LONG


def test_a_key_is_never_replaced_by_accident(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", b"first")

    with pytest.raises(KeyFileError) as caught:
        write_private(path, b"second")

    assert caught.value.refusal is Refusal.EXISTS
    assert read_private(path) == b"first"
    assert [item.name for item in tmp_path.iterdir()] == ["a.key"]


def test_a_key_is_replaced_when_asked(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", b"first")

    write_private(path, b"second", replace=True)

    assert read_private(path) == b"second"


def test_writing_where_there_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        write_private(tmp_path / "nowhere" / "a.key", b"secret")

    assert caught.value.refusal is Refusal.UNWRITABLE


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.key").mkdir()

    with pytest.raises(KeyFileError):
        write_private(tmp_path / "a.key", b"secret", replace=True)

    assert [item.name for item in tmp_path.iterdir()] == ["a.key"]


def test_a_public_file_may_be_read_by_all_and_written_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "agencies.json"
    write_public(path, b"one")
    write_public(path, b"two")

    assert read_public(path) == b"two"
    assert path.stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_public_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "agencies.json"
    write_public(path, b"{}")
    path.chmod(mode)

    with pytest.raises(KeyFileError) as caught:
        read_public(path)

    assert caught.value.refusal is Refusal.WRITABLE_BY_OTHERS


def test_a_public_file_has_a_limit_and_must_be_a_file(tmp_path: Path) -> None:
    write_public(tmp_path / "long", bytes(11))

    for path, reason in (
        (tmp_path / "long", Refusal.TOO_LONG),
        (tmp_path, Refusal.NOT_A_FILE),
        (tmp_path / "absent", Refusal.ABSENT),
    ):
        with pytest.raises(KeyFileError) as caught:
            read_public(path, max_bytes=10)
        assert caught.value.refusal is reason


def test_a_destroyed_file_is_gone_and_destroying_it_again_is_fine(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", b"secret")
    still_open = path.open("rb")

    destroy(path)
    destroy(path)

    assert not path.exists()
    with still_open:
        assert still_open.read() not in (b"secret", b"")


def test_a_private_folder_is_made_with_mode_0700_and_its_parents_with_0755(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        make_private_folder(tmp_path / "home" / "keys")
        make_public_folder(tmp_path / "home" / "trust" / "own")
    finally:
        os.umask(old)

    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").rglob("*") if path.is_dir()
    }
    assert modes == {"keys": 0o700, "trust": 0o755, "own": 0o755}


def test_a_folder_that_others_may_enter_holds_no_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o750)

    with pytest.raises(KeyFileError) as caught:
        make_private_folder(tmp_path / "keys")

    assert caught.value.refusal is Refusal.SHARED


def test_a_link_to_a_folder_holds_no_keys(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "keys").symlink_to(tmp_path / "real")

    with pytest.raises(KeyFileError) as caught:
        make_private_folder(tmp_path / "keys")

    assert caught.value.refusal is Refusal.NOT_A_FOLDER
