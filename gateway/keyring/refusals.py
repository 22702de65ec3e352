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


class TokenRefusal(StrEnum):
    """Reasons why a PKCS#11 token is not used; the value is the sentence that the operator reads."""

    NO_LIBRARY = "python-pkcs11 is not installed here: install the extra “hsm” (docs/token.md)"
    NOT_CONFIGURED = "the key is in a token, and gateway.toml names none: set keys.token"
    MODULE = "the PKCS#11 module cannot be loaded: see keys.token.module"
    ABSENT = "no token has the label keys.token.label: is the device connected, and does its service run?"
    AMBIGUOUS = "more than one token has the label keys.token.label: give each a label of its own"
    PIN_WRONG = "the token refuses the PIN in keys.token.pin_file; this PIN is not tried again"
    PIN_WRONG_BEFORE = (
        "the PIN in keys.token.pin_file was refused before and is not tried again: "
        "put the right one into the file"
    )
    PIN_LAST_TRY = (
        "one more wrong PIN would lock the token, so none is tried: log in once by hand with its maker's tool"
    )
    PIN_LOCKED = "the PIN of the token is locked: its security officer has to set it anew"
    PIN_NOT_SET = "the token has no user PIN yet: its security officer has to set one"
    KEY_ABSENT = "the token does not hold the key: it is another token, or was initialised anew"
    KEY_OTHER = "the key in the token is not the one that the key file and the key statement name"
    KEY_CAN_LEAVE = "the key was not made in the token or may leave it, so it is not used"
    NO_EDDSA = "the token cannot make Ed25519 keys (CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA)"
    LATE = "the token has not answered within keys.token.timeout_s"
    FAILED = "the token does not answer as it should: look at the device and its service"
    FORKED = "the token is used by the process that opened it, and this is a fork of that"


class TokenError(OperatorError):
    """A PKCS#11 token cannot be used as it is; the text says why and who can mend it.

    Attributes:
        refusal: Why, as a value to compare with.
    """

    code = "token-refused"

    def __init__(self, refusal: TokenRefusal, *, about: str = "") -> None:
        """Give the reason.

        Args:
            refusal: Why.
            about: A key's or a file's name, or the module's own word for it; never a secret.
        """
        super().__init__(f"{refusal.value} [{about}]" if about else refusal.value)
        self.refusal = refusal


class TrustError(OperatorError):
    """Public files do not fit together: a certificate, statement, registry or pin."""

    code = "trust-refused"


class CeremonyError(OperatorError):
    """A step of the key ceremony was asked for that cannot be done; the text says why."""

    code = "ceremony-refused"
