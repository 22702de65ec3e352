"""A folder of sealed keys that one passphrase opens.

``unlock.key`` opens with the passphrase; every other file opens with it. A home has such a
folder for its node, an authority has two (root, issuing), so that each has custodians and
a medium of its own.

Spec: docs/spec/keys.md, "Folder".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha384
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from gateway.core.signature import SEED_BYTES, HybridVerifier, JoinedSigner, SoftwareSigner
from gateway.errors import MalformedError
from gateway.keyring.files import destroy, destroy_forgotten, make_private_folder
from gateway.keyring.keyfile import (
    KEY_BYTES,
    KEY_ID_BYTES,
    KeyHeader,
    Purpose,
    UnlockKey,
    create_key_file,
    open_key_file,
    read_header,
)
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import KeyFileError, Refusal
from gateway.keyring.token import Token, TokenSettings
from gateway.keyring.token_key import IN_TOKEN, TokenHalf, TokenSecret, new_token_id
from gateway.keyring.token_pin import RefusedPin

UNLOCK_FILE: Final = "unlock.key"
KEY_SUFFIX: Final = ".key"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFolder:
    """An opened folder.

    Attributes:
        path: The folder.
        unlock: Its unlock key.
        test: Whether its keys are test keys.
        token: Where one half of new signing keys is made, and where that of others is.
    """

    path: Path
    unlock: UnlockKey
    test: bool
    token: Token | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        passphrase: Passphrase,
        name: str,
        test: bool,
        now: datetime,
        token: TokenSettings | None = None,
    ) -> KeyFolder:
        """Make the folder, if need be, and its unlock key.

        Args:
            path: The folder.
            passphrase: What opens it from now on.
            name: Whose folder it is; written in the unlock key.
            test: Whether production has to refuse its keys.
            now: Aware time.
            token: Where one half of its signing keys is made; None for keys in files alone.

        Raises:
            KeyFileError: It holds an unlock key already, or is not private.
        """
        make_private_folder(path)
        unlock = UnlockKey(key_id=secrets.token_bytes(KEY_ID_BYTES), secret=secrets.token_bytes(KEY_BYTES))
        create_key_file(
            path / UNLOCK_FILE,
            unlock.secret,
            purpose=Purpose.UNLOCK,
            key_id=unlock.key_id,
            name=name,
            created=now,
            test=test,
            opener=passphrase,
        )
        return cls(path=path, unlock=unlock, test=test, token=_token(token, unlock))

    @classmethod
    def open(
        cls, path: Path, *, passphrase: Passphrase, allow_test: bool, token: TokenSettings | None = None
    ) -> KeyFolder:
        """Open a folder; takes one Argon2id. The token is asked when it is needed.

        Raises:
            KeyFileError: With one of the reasons of `Refusal`.
        """
        header, secret = open_key_file(
            path / UNLOCK_FILE, purpose=Purpose.UNLOCK, opener=passphrase, allow_test=allow_test
        )
        unlock = UnlockKey(key_id=header.key_id, secret=secret)
        return cls(path=path, unlock=unlock, test=header.test, token=_token(token, unlock))

    def change_passphrase(self, passphrase: Passphrase, *, now: datetime) -> None:
        """Seal the unlock key under another passphrase. The other files stay as they are.

        Whoever has the old passphrase and an old copy of the file can still open the
        folder: a passphrase that is known to others asks for new keys.
        """
        header = read_header(self.path / UNLOCK_FILE)
        # Of a change that was killed: it opens with a passphrase that was never in force.
        destroy_forgotten(self.path / UNLOCK_FILE)
        create_key_file(
            self.path / UNLOCK_FILE,
            self.unlock.secret,
            purpose=Purpose.UNLOCK,
            key_id=self.unlock.key_id,
            name=header.name,
            created=now,
            test=self.test,
            opener=passphrase,
            replace=True,
        )

    def put(
        self,
        file: str,
        secret: bytes,
        *,
        purpose: Purpose,
        key_id: bytes,
        name: str,
        now: datetime,
        replace: bool = False,
    ) -> None:
        """Seal a secret into a file of this folder, durable when this returns."""
        create_key_file(
            self.path / file,
            secret,
            purpose=purpose,
            key_id=key_id,
            name=name,
            created=now,
            test=self.test,
            opener=self.unlock,
            replace=replace,
        )

    def get(self, file: str, *, purpose: Purpose) -> tuple[KeyHeader, bytes]:
        """Open a file of this folder.

        Raises:
            KeyFileError: With one of the reasons of `Refusal`.
        """
        # A test key among production keys is refused; the other way round does no harm.
        return open_key_file(self.path / file, purpose=purpose, opener=self.unlock, allow_test=self.test)

    def create_symmetric(self, file: str, *, purpose: Purpose, name: str, now: datetime) -> bytes:
        """Make a random 32-byte key and return it."""
        secret = secrets.token_bytes(KEY_BYTES)
        key_id = secrets.token_bytes(KEY_ID_BYTES)
        self.put(file, secret, purpose=purpose, key_id=key_id, name=name, now=now)
        return secret

    def create_hybrid(self, file: str, *, purpose: Purpose, name: str, now: datetime) -> JoinedSigner:
        """Make an Ed25519 and an ML-DSA-87 key under one name and return their signer.

        With a token, the Ed25519 key of a log or cosigner is made in it. A crash before the file is
        written leaves a key in the token that no file names: it can be removed there.

        Raises:
            TokenError: The token is away or refuses.
        """
        if self.token is not None and purpose in IN_TOKEN:
            token_id = new_token_id()
            public_key = self.token.generate(token_id, label=f"{name} {file.removesuffix(KEY_SUFFIX)}")
            seed = secrets.token_bytes(SEED_BYTES)
            stored = TokenSecret(mldsa87_seed=seed, ed25519=public_key, token_id=token_id)
            purpose, secret = IN_TOKEN[purpose], stored.to_bytes()
            signer = self._token_signer(file, secret, name=name)
        else:
            secret = secrets.token_bytes(2 * SEED_BYTES)
            signer = hybrid_signer(secret, name=name)
        key_id = hybrid_key_id(signer.verifier)
        self.put(file, secret, purpose=purpose, key_id=key_id, name=name, now=now)
        return signer

    def open_hybrid(self, file: str, *, purpose: Purpose, name: str | None = None) -> JoinedSigner:
        """Return the signer of a hybrid key; a token that holds half of it is not asked yet.

        Args:
            file: File of this folder.
            purpose: What it is used for.
            name: Name to sign under; by default the one in the file.

        Raises:
            KeyFileError: With one of the reasons of `Refusal`.
        """
        in_token = IN_TOKEN.get(purpose)
        if in_token is not None and read_header(self.path / file).purpose is in_token:
            purpose, make = in_token, self._token_signer
        else:
            make = _file_signer
        header, secret = self.get(file, purpose=purpose)
        try:
            signer = make(file, secret, name=header.name if name is None else name)
        except MalformedError as error:
            raise KeyFileError(self.path / file, Refusal.ALTERED) from error
        if hybrid_key_id(signer.verifier) != header.key_id:
            raise KeyFileError(self.path / file, Refusal.ALTERED)
        return signer

    def _token_signer(self, file: str, secret: bytes, *, name: str) -> JoinedSigner:
        parts = TokenSecret.from_bytes(secret)
        half = TokenHalf(self.token, parts, file=file)
        return JoinedSigner(name=name, ed25519=half, mldsa87_seed=parts.mldsa87_seed)

    def create_p384(
        self, file: str, *, purpose: Purpose, name: str, now: datetime, replace: bool = False
    ) -> ec.EllipticCurvePrivateKey:
        """Make a P-384 key for certificates and return it."""
        key = ec.generate_private_key(ec.SECP384R1())
        secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        key_id = p384_key_id(key.public_key())
        self.put(file, secret, purpose=purpose, key_id=key_id, name=name, now=now, replace=replace)
        return key

    def open_p384(self, file: str, *, purpose: Purpose) -> ec.EllipticCurvePrivateKey:
        """Return a P-384 key.

        Raises:
            KeyFileError: With one of the reasons of `Refusal`.
        """
        header, secret = self.get(file, purpose=purpose)
        try:
            key = load_der_private_key(secret, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileError(self.path / file, Refusal.ALTERED) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or p384_key_id(key.public_key()) != header.key_id:
            raise KeyFileError(self.path / file, Refusal.ALTERED)
        return key

    def files(self) -> list[Path]:
        """Return every key file of the folder, in order of their names."""
        return sorted(self.path.glob(f"*{KEY_SUFFIX}"))

    def destroy(self, file: str) -> None:
        """Overwrite and remove a file; absent is fine."""
        destroy(self.path / file)


def _token(settings: TokenSettings | None, unlock: UnlockKey) -> Token | None:
    if settings is None:
        return None
    return Token(settings, refused=RefusedPin(settings.refused_file, unlock))


def _file_signer(file: str, secret: bytes, *, name: str) -> JoinedSigner:
    del file
    return hybrid_signer(secret, name=name)


def hybrid_signer(seeds: bytes, *, name: str) -> SoftwareSigner:
    """Return the signer of 64 bytes: Ed25519 seed, then ML-DSA-87 seed."""
    return SoftwareSigner(name=name, ed25519_seed=seeds[:SEED_BYTES], mldsa87_seed=seeds[SEED_BYTES:])


def hybrid_key_id(verifier: HybridVerifier) -> bytes:
    """Return the key id of a hybrid key: 8 bytes of SHA-384 over both public keys."""
    return sha384(verifier.ed25519 + verifier.mldsa87).digest()[:KEY_ID_BYTES]


def p384_key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the key id of a P-384 key: 8 bytes of SHA-384 over its SubjectPublicKeyInfo."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha384(spki).digest()[:KEY_ID_BYTES]
