"""What a port refuses before anyone looks at the content of a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.message.wording import Wording
from gateway.errors import RejectedError, UnavailableError


class RequestMalformedError(RejectedError):
    """Not a request of HTTP/1.1 in the strict reading of RFC 9112."""

    code = "request-malformed"


class HttpVersionError(RejectedError):
    """Another version than HTTP/1.1."""

    code = "http-version"


class NoSuchPathError(RejectedError):
    """Nothing is at this path."""

    code = "not-found"


class MethodNotAllowedError(RejectedError):
    """The path takes other methods.

    Attributes:
        allowed: Those, in order.
    """

    code = "method-not-allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        """Keep the methods for the Allow header."""
        super().__init__("the path takes other methods")
        self.allowed = tuple(allowed)


class MediaTypeError(RejectedError):
    """The body is of another media type than this path takes.

    Attributes:
        accepted: Those that it takes, without parameters, in order.
    """

    code = "media-type"

    def __init__(self, accepted: Iterable[str]) -> None:
        """Keep the media types for the Accept header and the words."""
        super().__init__("another media type is expected")
        self.accepted = tuple(sorted({name.partition(";")[0] for name in accepted}))


class ContentEncodingError(RejectedError):
    """The body is compressed; bodies are sent as they are."""

    code = "content-encoding"


class BodyTooLargeError(RejectedError):
    """The body is longer than this path takes."""

    code = "body-too-large"


class BodyNotExpectedError(RejectedError):
    """This path takes no body."""

    code = "body-not-expected"


class BodyTimeoutError(RejectedError):
    """The body did not arrive in time."""

    code = "body-timeout"


class ExpectationError(RejectedError):
    """The request expects something else than 100-continue."""

    code = "expectation-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadParameter:
    """A query parameter or header that is not as documented.

    Attributes:
        name: Its name as the documentation has it; empty for one it does not have.
        expected: What is expected.
    """

    name: str
    expected: Wording


class ParameterError(RejectedError):
    """Query parameters or headers are not as documented.

    Attributes:
        parameters: Every one of them.
    """

    code = "parameter-invalid"

    def __init__(self, parameters: Sequence[BadParameter]) -> None:
        """Keep what is wrong, for whoever puts it into words."""
        super().__init__(f"{len(parameters)} parameters are not as documented")
        self.parameters = tuple(parameters)


class TooManyConnectionsError(UnavailableError):
    """This certificate has too many connections open."""

    code = "too-many-connections"


class TooManyRequestsError(UnavailableError):
    """This certificate has too many requests in work, or sends them too fast."""

    code = "too-many-requests"


class TakesTooLongError(UnavailableError):
    """The node did not come to an answer in time."""

    code = "no-answer-in-time"
