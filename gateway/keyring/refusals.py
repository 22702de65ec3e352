"""Why keys and trust are refused, in one sentence each.

All of these ask the operator to act. The sentence names the file and what to do; it never
holds anything that stood in the file.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from gateway.errors import OperatorError


class Refusal(StrEnum):
    """Reasons to refuse a file; the value is the sentence that the operator reads."""

    ABSENT = "does not exist"
    EXISTS = "exists already and is not replaced"
    UNREADABLE = "cannot be opened"
    UNWRITABLE = "cannot be written"
    SYMLINK = "is a symbolic link; name the file itself"
    NOT_A_FILE = "is not a regular file"
    NOT_A_FOLDER = "is not a folder"
    OTHER_OWNER = "belongs to another user; it has to belong to the user that runs this command"
    SHARED = "can be read or written by group or others; take their rights away (chmod go= FILE)"
    WRITABLE_BY_OTHERS = "can be written by group or others; take that right away (chmod go-w FILE)"
    TOO_LONG = "is longer than such a file can be"
    TRUNCATED = "is truncated; restore it from the copy made at the ceremony"
    NOT_A_KEY_FILE = "is not a key file in its canonical form"
    OTHER_VERSION = "has a key file format that this version does not know"
    ALTERED = "was altered or damaged; restore it from the copy made at the ceremony"
    OTHER_PURPOSE = "holds a key for another purpose"
    TEST_KEY = "holds a TEST key, which mode production refuses"
    PARAMETERS_WEAK = "asks for weaker Argon2id parameters than 64 MiB, 3 passes and 4 lanes"
    PARAMETERS_LARGE = "asks for more Argon2id memory, passes or lanes than a key file may (1 GiB, 16, 16)"
    WRONG_PASSPHRASE = "does not open: the passphrase is wrong"  # noqa: S105 - a sentence
    OTHER_FOLDER = "is sealed under the unlock key of another folder"
    PASSPHRASE_NEEDED = "is the file that a passphrase opens, but no passphrase was given"  # noqa: S105 - a sentence
    EMPTY = "is empty"
    PASSPHRASE_SHORT = "holds a passphrase of fewer than 12 characters"  # noqa: S105 - a sentence
    PASSPHRASE_FORM = "holds no passphrase: one line of UTF-8, at most 1,024 bytes, is expected"  # noqa: S105 - a sentence


class KeyFileError(OperatorError):
    """A file with keys, a passphrase or trust cannot be used.

    Attributes:
        path: The file.
        refusal: Why, as a value to compare with.
    """

    code = "key-file-refused"

    def __init__(self, path: Path, refusal: Refusal) -> None:
        """Name the file and the reason."""
        super().__init__(f"{path.name} {refusal.value} [{path}]")
        self.path = path
        self.refusal = refusal


class TrustError(OperatorError):
    """Public files do not fit together: a certificate, statement, registry or pin."""

    code = "trust-refused"


class CeremonyError(OperatorError):
    """A step of the key ceremony was asked for that cannot be done; the text says why."""

    code = "ceremony-refused"
