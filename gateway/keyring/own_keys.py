"""The keys with which a node signs: those in use, and those that came before them.

A log or cosigner key that was replaced stays in its file. A bundle that was signed under it
may have to be signed once more, for a peer that was restored from a backup; for any other
size the peer and every auditor refuse it, so it is of no use to a thief. So a key whose half was in
a token that is lost does no harm here: its file still says which keys signed what.

Files: ``cosigner.key`` is the first key, ``cosigner-v4.key`` the one that statement version 4
names; the same for ``log-audit`` and ``log-exchange-<nation>``.

Spec: docs/spec/keys.md, "Rotation".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.signature import HybridVerifier, JoinedSigner
from gateway.errors import MalformedError
from gateway.keyring.home import COSIGNER_KEY, key_file_of
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KEY_SUFFIX, KeyFolder
from gateway.keyring.refusals import TrustError
from gateway.keyring.statement import KeyStatement
from gateway.keyring.token_key import TokenHalf

_LATER: Final = re.compile(r"(?P<first>.+)-v(?P<version>[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A key of one log or of the cosigner, and the file that holds it."""

    file: str
    signer: JoinedSigner


class OwnKeys:
    """Every signing key in an opened folder. Calls may come from several threads."""

    def __init__(self, folder: KeyFolder, statement: KeyStatement) -> None:
        """Open them, and compare the newest with what the statement names.

        Args:
            folder: The node's keys.
            statement: The node's newest statement.

        Raises:
            KeyFileError: A file is refused.
            TrustError: The folder does not hold the keys that the statement names.
        """
        self._folder = folder
        self._cosigners = _open_all(folder, COSIGNER_KEY, Purpose.COSIGNER)
        self._logs = {
            log.name: _open_all(folder, key_file_of(log.name, node=statement.node), Purpose.LOG)
            for log in statement.logs
        }
        self._successors: dict[tuple[str, bytes], JoinedSigner] = {}
        self._lock = threading.Lock()
        self.cosigner(statement)
        for log in statement.logs:
            self.log_signer(log.name, statement)

    def cosigner(self, statement: KeyStatement) -> JoinedSigner:
        """Return the cosigner that a statement names.

        Raises:
            TrustError: The folder does not hold it.
        """
        return _named(self._cosigners, statement.cosigner, COSIGNER_KEY).signer

    def log_signer(self, origin: str, statement: KeyStatement) -> JoinedSigner:
        """Return the key that a statement names for a log or one of its successor generations.

        Raises:
            MalformedError: The statement names no such log.
            TrustError: The folder does not hold it.
        """
        wanted = statement.log(origin)
        if origin in self._logs:
            return _named(self._logs[origin], wanted, key_file_of(origin, node=statement.node)).signer
        with self._lock:
            found = self._successors.get((origin, wanted.ed25519))
            if found is None:
                key = next(
                    item
                    for keys in self._logs.values()
                    for item in keys
                    if item.signer.verifier.ed25519 == wanted.ed25519
                )
                # The same key under the name of the new log.
                found = self._folder.open_hybrid(key.file, purpose=Purpose.LOG, name=origin)
                self._successors[origin, wanted.ed25519] = found
            return found

    def prove(self, statement: KeyStatement, *, cosigner: JoinedSigner | None = None) -> None:
        """See that a token signs with those keys in use of which it has a half.

        Args:
            statement: Names the keys.
            cosigner: The cosigner that is in use instead of the one that the statement names.

        Raises:
            TokenError: One does not; the text says why. Nothing if no key has a half in a token.
            TrustError: The folder does not hold the keys.
        """
        signers = [self.log_signer(log.name, statement) for log in statement.logs]
        for signer in (*signers, cosigner or self.cosigner(statement)):
            half = signer.ed25519
            if isinstance(half, TokenHalf):
                half.prove()

    def log_verifiers(self, origin: str, statement: KeyStatement) -> tuple[HybridVerifier, ...]:
        """Return the public keys of a log or of a successor generation, the newest first.

        Raises:
            MalformedError: The statement names no such log.
        """
        first = next((log.name for log in statement.logs if _is_of(origin, log.name)), None)
        if first is None:
            msg = "this node has no such log"
            raise MalformedError(msg)
        newest = statement.log(origin)
        found = [
            HybridVerifier(
                name=origin, ed25519=item.signer.verifier.ed25519, mldsa87=item.signer.verifier.mldsa87
            )
            for item in self._logs[first]
        ]
        return tuple(dict.fromkeys((newest, *found)))


def _is_of(origin: str, first: str) -> bool:
    return origin == first or origin.startswith(f"{first}/")


def _open_all(folder: KeyFolder, file: str, purpose: Purpose) -> Sequence[_Key]:
    """Return every key of one use, the newest first."""
    first = file.removesuffix(KEY_SUFFIX)
    versions = {1: file}
    for path in folder.path.glob(f"{first}-v*{KEY_SUFFIX}"):
        match = _LATER.fullmatch(path.stem)
        if match is not None and match["first"] == first:
            versions[int(match["version"])] = path.name
    if len(versions) > 1 and not (folder.path / file).exists():
        del versions[1]  # the first key was destroyed by hand
    return [
        _Key(file=versions[version], signer=folder.open_hybrid(versions[version], purpose=purpose))
        for version in sorted(versions, reverse=True)
    ]


def _named(keys: Sequence[_Key], wanted: HybridVerifier, file: str) -> _Key:
    for key in keys:
        if key.signer.verifier == wanted:
            return key
    msg = f"{file} is not the key that the key statement names, and no later one is"
    raise TrustError(msg)
