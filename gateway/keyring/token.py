"""A PKCS#11 token: a hardware security module, or a program that behaves like one.

Keys are made in the token and never leave it: they are sensitive, not extractable, and local.
What a token offers here is small: make an Ed25519 key, sign with it, say that it is there.

Every call of a module is made by one thread (`device_thread`), in one session that is logged in
once. A session that is lost, because the device was pulled, its service was restarted or the
token logged itself out, is opened anew by the next call, as often as needed; a PIN that was
refused is never tried a second time.

Spec: PKCS#11 v3.1, "Elliptic curve"; docs/spec/keys.md, "Token".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from gateway.config import Config, resolve
from gateway.core.signature import ED25519_PUBLIC_BYTES
from gateway.keyring.device_thread import DeviceLateError, DeviceThread, ForkedError, thread_of
from gateway.keyring.home import NodeHome
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.refusals import KeyFileError, TokenError, TokenRefusal
from gateway.keyring.token_pin import RefusedPin

if TYPE_CHECKING:
    import pkcs11

log = structlog.get_logger(__name__)

T = TypeVar("T")

SLOW_S: Final = 1.0
"""A signature that takes longer is worth a line in the log."""

_ED25519: Final = bytes.fromhex("06032b6570")
"""DER of the object identifier id-Ed25519, as CKA_EC_PARAMS names the curve."""
_OCTETS: Final = bytes.fromhex("0420")
"""DER header of an octet string of 32 bytes, in which CKA_EC_POINT may be wrapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Where a token is, and how it is opened.

    Attributes:
        module: The maker's PKCS#11 library.
        label: Label of the token.
        pin_file: Private file with the user PIN as its only line.
        refused_file: Where a refused PIN is remembered.
        timeout_s: Longest wait for one call.
    """

    module: Path
    label: str
    pin_file: Path
    refused_file: Path
    timeout_s: float


def token_settings(home: Path, config: Config) -> TokenSettings | None:
    """Return the token that the configuration of a home names, or None."""
    section = config.keys.token
    if section is None:
        return None
    return TokenSettings(
        module=resolve(home, section.module),
        label=section.label,
        pin_file=resolve(home, section.pin_file),
        refused_file=NodeHome(path=home).token_pin_refused,
        timeout_s=section.timeout_s,
    )


def look_at_token(settings: TokenSettings) -> None:
    """Look whether a token can be opened, without its PIN and without logging in.

    Raises:
        TokenError: No library, no module, no token, or one that is locked.
        KeyFileError: The PIN file is not private, or holds no PIN.
    """
    read_passphrase_file(settings.pin_file)
    _in_thread(settings, lambda: _find(_load(settings), settings.label))


class Token:
    """A token that is opened when it is first needed. Calls may come from several threads."""

    def __init__(self, settings: TokenSettings, *, refused: RefusedPin) -> None:
        """Open nothing yet.

        Args:
            settings: Where it is.
            refused: Remembers a PIN that was refused.
        """
        self._settings = settings
        self._refused = refused
        # Only the thread of the module touches these two:
        self._session: pkcs11.Session | None = None
        # Objects of the library, whose types do not say that a private key signs.
        self._keys: dict[bytes, Any] = {}
        # True in a running node: commands tell what is the matter by their own words.
        self.says_changes = False
        self._lost: TokenRefusal | None = None
        self._is_slow = False

    @property
    def label(self) -> str:
        """Return the label of the token."""
        return self._settings.label

    def generate(self, key_id: bytes, *, label: str) -> bytes:
        """Make an Ed25519 key in the token and return its public key, 32 bytes.

        Args:
            key_id: CKA_ID of the key, which the token does not hold yet.
            label: What people see of it in the token.

        Raises:
            TokenError: The token refuses.
        """
        return self._do(lambda session: _generate(session, key_id, label))

    def sign(self, key_id: bytes, message: bytes) -> bytes:
        """Return the Ed25519 signature of ``message`` by a key of the token, 64 bytes.

        Raises:
            TokenError: The token is away or refuses.
        """
        began_s = time.monotonic()
        signature = self._do(lambda session: self._sign(session, key_id, message))
        elapsed_s = time.monotonic() - began_s
        is_slow = elapsed_s > SLOW_S
        if self.says_changes and is_slow and not self._is_slow:
            log.warning("token.slow", token=self.label, elapsed_ms=int(elapsed_s * 1_000))
        self._is_slow = is_slow
        return signature

    def _sign(self, session: pkcs11.Session, key_id: bytes, message: bytes) -> bytes:
        import pkcs11  # noqa: PLC0415 - only nodes with a token load it

        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = _find_key(session, key_id)
        return bytes(key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))

    def _do(self, work: Callable[[pkcs11.Session], T]) -> T:
        """Do something in an open session, and say when the token is lost and found."""
        try:
            result = _in_thread(self._settings, lambda: self._in_session(work))
        except TokenError as error:
            if self.says_changes and self._lost is not error.refusal:
                self._lost = error.refusal
                log.error("token.lost", token=self.label, refusal=error.refusal.name.lower())  # noqa: TRY400 - its kind says it
            raise
        if self._lost is not None:
            self._lost = None
            log.info("token.found", token=self.label)
        return result

    def _in_session(self, work: Callable[[pkcs11.Session], T]) -> T:
        """Do something in the session that is open; if that fails, once more in a new one."""
        if self._session is not None:
            try:
                return work(self._session)
            except (RuntimeError, TokenError):
                # Makers give a lost session many names; the second try tells what is the matter.
                self._close()
        try:
            self._session = self._open()
            return work(self._session)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            with suppress(RuntimeError):  # most often it is gone already
                session.close()

    def _open(self) -> pkcs11.Session:
        """Find the token and log in; where that fails, open the module anew first."""
        import pkcs11  # noqa: PLC0415 - only nodes with a token load it

        library = _load(self._settings)
        try:
            return self._log_in(_find(library, self._settings.label))
        except TokenError as error:
            if error.refusal is not TokenRefusal.ABSENT:
                raise
        except pkcs11.PKCS11Error:
            pass  # the second try says what it is
        # Many modules see a token that has come back only when they begin anew.
        with suppress(pkcs11.PKCS11Error):
            library.finalize()
        return self._log_in(_find(_load(self._settings), self._settings.label))

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        """Open a session, and log in unless the token has refused this PIN before.

        Raises:
            TokenError: The PIN is refused, was refused before, or must not be tried.
            KeyFileError: The PIN file cannot be used.
        """
        import pkcs11  # noqa: PLC0415 - only nodes with a token load it

        pin = read_passphrase_file(self._settings.pin_file)
        if self._refused.is_remembered(pin, serial=token.serial):
            raise TokenError(TokenRefusal.PIN_WRONG_BEFORE)
        refuse_to_try(token.flags)
        try:
            session = token.open(user_pin=pin.decode())
        except pkcs11.UserAlreadyLoggedIn:
            # Another keyring of this process has: being logged in is a state of the process.
            return token.open()
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            raise TokenError(TokenRefusal.PIN_WRONG, about=self._remember(pin, token.serial)) from error
        self._refused.forget()
        return session

    def _remember(self, pin: bytes, serial: bytes) -> str:
        """Remember a refused PIN, or return why it will be tried again after a restart."""
        try:
            self._refused.remember(pin, serial=serial)
        except KeyFileError as error:
            return str(error)
        return ""


def refuse_to_try(flags: pkcs11.TokenFlag) -> None:
    """Refuse to log in where a wrong PIN would do harm, or none can work.

    Args:
        flags: What the token says of itself.

    Raises:
        TokenError: Its PIN is locked, was never set, or would be locked by one more mistake.
    """
    import pkcs11  # noqa: PLC0415 - only nodes with a token load it

    flag = pkcs11.TokenFlag
    if flags & flag.USER_PIN_LOCKED:
        raise TokenError(TokenRefusal.PIN_LOCKED)
    if not flags & flag.USER_PIN_INITIALIZED:
        raise TokenError(TokenRefusal.PIN_NOT_SET)
    if flags & flag.USER_PIN_FINAL_TRY:
        raise TokenError(TokenRefusal.PIN_LAST_TRY)


def _in_thread(settings: TokenSettings, work: Callable[[], T]) -> T:
    """Do something in the thread of the module; whatever goes wrong is a `TokenError`."""
    thread: DeviceThread = thread_of(str(settings.module))
    try:
        return thread.call(work, timeout_s=settings.timeout_s)
    except DeviceLateError as error:
        raise TokenError(TokenRefusal.LATE) from error
    except ForkedError as error:
        raise TokenError(TokenRefusal.FORKED) from error
    except RuntimeError as error:
        # Errors of the library are known here by name: it need not be there to say so.
        name = type(error).__name__
        raise TokenError(_BY_NAME.get(name, TokenRefusal.FAILED), about=name) from error


_BY_NAME: Final = {
    "NoSuchToken": TokenRefusal.ABSENT,
    "TokenNotPresent": TokenRefusal.ABSENT,
    "DeviceRemoved": TokenRefusal.ABSENT,
    "MultipleTokensReturned": TokenRefusal.AMBIGUOUS,
    "NoSuchKey": TokenRefusal.KEY_ABSENT,
    "MechanismInvalid": TokenRefusal.NO_EDDSA,
    "PinLocked": TokenRefusal.PIN_LOCKED,
    "UserPinNotInitialized": TokenRefusal.PIN_NOT_SET,
}


def _load(settings: TokenSettings) -> Any:
    """Return the opened module."""
    try:
        import pkcs11  # noqa: PLC0415 - only nodes with a token load it
    except ImportError as error:
        raise TokenError(TokenRefusal.NO_LIBRARY) from error
    if not settings.module.is_file():
        raise TokenError(TokenRefusal.MODULE, about=settings.module.name)
    try:
        return pkcs11.lib(str(settings.module))
    except pkcs11.PKCS11Error as error:
        if type(error) is pkcs11.PKCS11Error:
            raise TokenError(TokenRefusal.MODULE, about=settings.module.name) from error
        raise


def _find(library: Any, label: str) -> pkcs11.Token:
    """Return the token of a label."""
    import pkcs11  # noqa: PLC0415 - only nodes with a token load it

    found = library.get_token(token_label=label)
    if not isinstance(found, pkcs11.Token):
        raise TokenError(TokenRefusal.ABSENT)
    return found


def _generate(session: pkcs11.Session, key_id: bytes, label: str) -> bytes:
    import pkcs11  # noqa: PLC0415 - only nodes with a token load it

    attribute = pkcs11.Attribute
    # A session may write if it was opened so; it is logged in as the token is.
    with session.token.open(rw=True) as writing:
        parameters = writing.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {attribute.EC_PARAMS: _ED25519}, local=True
        )
        public, _ = parameters.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            id=key_id,
            label=label,
            store=True,
            capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
            private_template={attribute.EXTRACTABLE: False, attribute.SENSITIVE: True},
        )
        point = bytes(public[attribute.EC_POINT]).removeprefix(_OCTETS)
    if len(point) != ED25519_PUBLIC_BYTES:
        raise TokenError(TokenRefusal.NO_EDDSA)
    return point


def _find_key(session: pkcs11.Session, key_id: bytes) -> Any:
    """Return a private key of the token.

    Raises:
        TokenError: It was made elsewhere, or may be taken out.
    """
    import pkcs11  # noqa: PLC0415 - only nodes with a token load it

    attribute = pkcs11.Attribute
    key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=key_id)
    stays = key[attribute.SENSITIVE] and key[attribute.LOCAL] and key[attribute.NEVER_EXTRACTABLE]
    if not stays or key[attribute.EXTRACTABLE]:
        raise TokenError(TokenRefusal.KEY_CAN_LEAVE)
    return key
