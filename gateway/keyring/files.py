"""Files that hold secrets, and how they come and go.

A private file is a regular file, owned by the user of this process, that nobody else may
read or write; it is never reached through a symbolic link. It is written whole or not at
all: a temporary file in the same folder, fsync, rename, fsync of the folder. A crash
leaves the old file, the new file, or a forgotten ``*.tmp`` beside it, never half a key.

Spec: docs/spec/keys.md, "Files".
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.keyring.refusals import KeyFileError, Refusal

PRIVATE_FILE_MODE: Final = 0o600
PRIVATE_FOLDER_MODE: Final = 0o700
PUBLIC_FILE_MODE: Final = 0o644
PUBLIC_FOLDER_MODE: Final = 0o755
MAX_PRIVATE_BYTES: Final = 65_536
MAX_PUBLIC_BYTES: Final = 16_777_216

_SHARED_BITS: Final = stat.S_IRWXG | stat.S_IRWXO
_FOREIGN_WRITE_BITS: Final = stat.S_IWGRP | stat.S_IWOTH
_TEMPORARY_SUFFIX: Final = ".tmp"


def read_private(path: Path, *, owner_uid: int | None = None, max_bytes: int = MAX_PRIVATE_BYTES) -> bytes:
    """Return the bytes of a private file.

    The checks are made on the opened file, so that what was checked is what is read.

    Args:
        path: The file.
        owner_uid: User who has to own it; the user of this process by default.
        max_bytes: A longer file is refused before it is read.

    Raises:
        KeyFileError: Absent, a symbolic link, not a regular file, owned by another user,
            open to group or others, or too long.
    """
    owner = os.geteuid() if owner_uid is None else owner_uid
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise KeyFileError(path, Refusal.ABSENT) from error
    except OSError as error:
        reason = Refusal.SYMLINK if path.is_symlink() else Refusal.UNREADABLE
        raise KeyFileError(path, reason) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise KeyFileError(path, Refusal.NOT_A_FILE)
        if facts.st_uid != owner:
            raise KeyFileError(path, Refusal.OTHER_OWNER)
        if facts.st_mode & _SHARED_BITS:
            raise KeyFileError(path, Refusal.SHARED)
        return _read(descriptor, path, max_bytes)
    finally:
        os.close(descriptor)


def read_public(path: Path, *, max_bytes: int = MAX_PUBLIC_BYTES) -> bytes:
    """Return the bytes of a file that says whom to trust.

    Anybody may read it. Who may write it decides whom this node trusts, so a file that
    group or others may write is refused.

    Raises:
        KeyFileError: Absent, not a regular file, writable by others, or too long.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeyFileError(path, Refusal.ABSENT) from error
    except OSError as error:
        raise KeyFileError(path, Refusal.UNREADABLE) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise KeyFileError(path, Refusal.NOT_A_FILE)
        if facts.st_mode & _FOREIGN_WRITE_BITS:
            raise KeyFileError(path, Refusal.WRITABLE_BY_OTHERS)
        return _read(descriptor, path, max_bytes)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a private file, durable when this returns.

    Args:
        path: The file; its folder exists.
        content: All of it.
        replace: Whether an existing file may be replaced. A key is never replaced by
            accident, so the default refuses.

    Raises:
        KeyFileError: The file exists and ``replace`` is False, or it cannot be written.
    """
    _write(path, content, mode=PRIVATE_FILE_MODE, replace=replace)


def write_public(path: Path, content: bytes) -> None:
    """Write or replace a file that anybody may read, durable when this returns.

    Raises:
        KeyFileError: It cannot be written.
    """
    _write(path, content, mode=PUBLIC_FILE_MODE, replace=True)


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, with its parents.

    Raises:
        KeyFileError: It exists and others may enter it, it is not a folder of ours, or it
            cannot be made.
    """
    make_public_folder(path.parent)
    with _making(path):
        path.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise KeyFileError(path, Refusal.NOT_A_FOLDER)
    if facts.st_uid != os.geteuid():
        raise KeyFileError(path, Refusal.OTHER_OWNER)
    if facts.st_mode & _SHARED_BITS:
        raise KeyFileError(path, Refusal.SHARED)


def make_public_folder(path: Path) -> None:
    """Make a folder that others may read, with its parents, whatever the umask.

    Raises:
        KeyFileError: It cannot be made: a file has its name, or the rights or the room are missing.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            with _making(folder):
                folder.mkdir()
                folder.chmod(PUBLIC_FOLDER_MODE)


@contextmanager
def _making(folder: Path) -> Iterator[None]:
    """Refuse a folder that the system does not let us make."""
    try:
        yield
    except FileExistsError as error:
        raise KeyFileError(folder, Refusal.NOT_A_FOLDER) from error
    except OSError as error:
        raise KeyFileError(folder, Refusal.UNWRITABLE) from error


def destroy(path: Path) -> None:
    """Overwrite a private file, remove it and make the removal durable; absent is fine.

    Overwriting reaches the same blocks on plain disks only. On copy-on-write and flash
    storage the protection is that the file is sealed.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        length = os.fstat(descriptor).st_size
        file.write(secrets.token_bytes(length))
        os.fsync(descriptor)
    path.unlink()
    fsync_folder(path.parent)


def destroy_forgotten(path: Path) -> None:
    """Destroy what writers of a file left beside it when they were killed; nobody else may be writing it."""
    for temporary in path.parent.glob(f".{path.name}.*{_TEMPORARY_SUFFIX}"):
        destroy(temporary)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: Path, max_bytes: int) -> bytes:
    """Return all of an open file, which may have grown since it was looked at."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise KeyFileError(path, Refusal.TOO_LONG)
    return content


def _write(path: Path, content: bytes, *, mode: int, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                # The umask may have taken bits away; it never adds any.
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            if replace:
                temporary.replace(path)
            else:
                # A hard link fails if the name exists: no window between look and write.
                os.link(temporary, path)
                temporary.unlink()
        except BaseException:
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        fsync_folder(path.parent)
    except FileExistsError as error:
        raise KeyFileError(path, Refusal.EXISTS) from error
    except OSError as error:
        raise KeyFileError(path, Refusal.UNWRITABLE) from error
