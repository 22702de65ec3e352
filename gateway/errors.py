"""Every error of the gateway, as a tree that answers one question: who has to act?

::

    GatewayError
    ├── RejectedError        the agency has to change its message or its call
    ├── PeerError            the peer node (or whoever made these bytes) has to act
    ├── UnavailableError     nobody yet: try again later
    └── OperatorError        the operator of this node has to act

Each concrete error carries a stable ``code``: the audit log, the HTTP answer, the
documentation and the operator's log use the same word. HTTP statuses are chosen where
HTTP is spoken. No error text ever holds a value from the input: texts name fields, rules
and limits.

An error that belongs to one module is defined there, as a child of one of these four.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """Base of every error this project raises on purpose."""

    code: ClassVar[str] = "internal"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error cross to another process with its attributes, whatever its constructor asks for."""
        return _made_again, (type(self), self.args, self.__dict__)


def forget_frames(error: BaseException) -> None:
    """Let go of what the frames hold that an error came through, and those of the errors before it.

    Whoever has answered an error, or hands it on as a result, calls this. A future or a list holds the
    error, whose frames hold the future or the list: a circle, which waits for the collector of cycles with
    whatever else the frames hold, a body of 16 MiB or a buffer of TLS. A node lets the collector run seldom.
    """
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__, seen.__cause__, seen = None, None, seen.__context__


def _made_again(kind: type[GatewayError], args: tuple[Any, ...], attributes: dict[str, Any]) -> GatewayError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class RejectedError(GatewayError):
    """The agency has to act: what it sent or asked is refused and nothing of it is kept."""

    code = "rejected"


class PeerError(GatewayError):
    """The peer node, or whoever produced the bytes, has to act: they are not acceptable."""

    code = "peer-refused"


class UnavailableError(GatewayError):
    """Nobody has to act yet: the same call may succeed later.

    Attributes:
        retry_after_s: Seconds after which a repeat makes sense.
    """

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        """Record when a repeat makes sense."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OperatorError(GatewayError):
    """The operator of this node has to act: configuration, keys, disk, clock, peer."""

    code = "operator"


class MalformedError(PeerError):
    """Bytes are not in the one form that the specification allows."""

    code = "malformed"


class SignatureInvalidError(PeerError):
    """A required signature is absent or does not verify. The text does not say which."""

    code = "signature-invalid"


class ConfigError(OperatorError):
    """The configuration cannot be used; the text names the key and what is expected."""

    code = "config-invalid"


class StoreError(OperatorError):
    """The database could not do what was asked, or the outcome of a write is unknown.

    After this error the store accepts no further writes in this process: the truth is on
    disk and is read again at the next start.
    """

    code = "store-failed"


class PeerConflictError(UnavailableError):
    """The receiver mirrors another size than the bundle begins at; the sender goes back to it.

    Attributes:
        size: Size of the receiver's mirror.
    """

    code = "size-conflict"

    def __init__(self, size: int) -> None:
        """Record the size that the receiver holds."""
        super().__init__("the receiver mirrors another size of this log")
        self.size = size


class RootMismatchError(PeerError):
    """The entries of a bundle do not lead to the root that its note signs."""

    code = "root-mismatch"


class PairFrozenError(OperatorError):
    """The pair is frozen: two signed notes contradict each other, and people have to decide."""

    code = "pair-frozen"
