"""The public keys that an auditor trusts, and nothing else that is trusted.

They come as text files with one C2SP verifier key a line: of logs, of cosigners, of the
nations' roots. What a key is for follows from its algorithms::

    log        Ed25519 0x01, ML-DSA-87 cosignature form      name: the log's origin
    cosigner   Ed25519 0x04, ML-DSA-87 cosignature form      name: the node
    root       Ed25519 0x01, ML-DSA-87 note form             name: entente/root/<nation>

How the files reached the auditor is what everything rests on: they are compared by
fingerprint with the record of the ceremony, not taken from those who are audited.

Keys are changed now and then, and what was signed before stays signed: a file holds the keys
of one name in the order in which they came into use, and several files say together which came
first. Which of them a checkpoint may bear is decided by the key statements in the log itself
(`gateway.audit.keyhistory`), and which cosignature counts by logs (`gateway.audit.cosigners`).

Spec: C2SP signed-note, "Verifier keys"; docs/auditing.md, "From a stick to a conclusion".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.core.note import (
    ALGORITHM_COSIGNATURE_ED25519,
    ALGORITHM_ED25519,
    ALGORITHM_OTHER,
    MLDSA87_COSIGNATURE,
    MLDSA87_NOTE,
    VerifierKey,
    parse_verifier_key,
)
from gateway.core.signature import HybridVerifier
from gateway.errors import MalformedError, OperatorError

MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 262_144

_GENERATION: Final = re.compile(r"(?P<first>.+)/(?:[2-9]|[1-9][0-9]{1,8})")
_LOG: Final = (ALGORITHM_ED25519, MLDSA87_COSIGNATURE)
_COSIGNER: Final = (ALGORITHM_COSIGNATURE_ED25519, MLDSA87_COSIGNATURE)
_ROOT: Final = (ALGORITHM_ED25519, MLDSA87_NOTE)


class TrustUnreadableError(OperatorError):
    """The files with trusted keys cannot be used."""

    code = "trust-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Verifiers by name.

    Attributes:
        logs: By origin.
        cosigners: By node name.
        roots: By ``entente/root/<nation>``.
        earlier: Keys of logs, cosigners and roots that were replaced, by name, the newest first.
    """

    logs: Mapping[str, HybridVerifier]
    cosigners: Mapping[str, HybridVerifier]
    roots: Mapping[str, HybridVerifier]
    earlier: Mapping[str, tuple[HybridVerifier, ...]] = field(default_factory=dict)

    def log(self, origin: str) -> HybridVerifier | None:
        """Return the newest verifier of a log, or None if its keys are not among the trusted ones."""
        keys = self.log_keys(origin)
        return keys[0] if keys else None

    def log_keys(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return all trusted verifiers of a log, the newest first.

        The key of a log also signs its successor generations (``…/2``).
        """
        name = origin
        generation = _GENERATION.fullmatch(origin)
        if name not in self.logs and generation is not None:
            name = generation["first"]
        newest = self.logs.get(name)
        if newest is None:
            return ()
        keys = (newest, *self.earlier.get(name, ()))
        if name == origin:
            return keys
        return tuple(HybridVerifier(name=origin, ed25519=key.ed25519, mldsa87=key.mldsa87) for key in keys)

    def cosigner_keys(self, node: str) -> tuple[HybridVerifier, ...]:
        """Return all trusted verifiers of a node's cosignatures, the newest first."""
        newest = self.cosigners.get(node)
        return () if newest is None else (newest, *self.earlier.get(node, ()))

    def root_keys(self, name: str) -> tuple[HybridVerifier, ...]:
        """Return all trusted roots of a nation, the newest first."""
        newest = self.roots.get(name)
        return () if newest is None else (newest, *self.earlier.get(name, ()))

    def foreign_cosigners(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return the cosigners that can vouch for a log: all but its own node's."""
        node = origin.partition("/")[0]
        return tuple(
            key for name in sorted(self.cosigners) if name != node for key in self.cosigner_keys(name)
        )


def first_generation(origin: str) -> str:
    """Return the origin of the first generation of a log, whose name its keys bear."""
    generation = _GENERATION.fullmatch(origin)
    return origin if generation is None else generation["first"]


def read_trust(*paths: Path) -> Trust:
    """Return the keys in the ``.vkeys`` files of folders, or in files.

    Args:
        paths: Files, and folders in which (and in whose direct subfolders) every file that
            ends in ``.vkeys`` is read, so a node's ``trust`` folder is read as it is.

    Raises:
        TrustUnreadableError: No such file, too many or too long ones, a line that is no
            verifier key, a key without its other half, or keys of one name for two purposes.
    """
    texts: list[list[str]] = []
    files = [file for path in paths for file in _files(path)]
    if len(files) > MAX_FILES:
        msg = f"more than {MAX_FILES} files with verifier keys"
        raise TrustUnreadableError(msg)
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
            text = data.decode("ascii")
        except (OSError, ValueError) as error:
            msg = f"{file.name} cannot be read as a file of verifier keys"
            raise TrustUnreadableError(msg) from error
        if len(data) > MAX_FILE_BYTES:
            msg = f"{file.name} is longer than {MAX_FILE_BYTES} bytes"
            raise TrustUnreadableError(msg)
        texts.append(text.split("\n"))
    return parse_trust(*texts)


def parse_trust(*texts: Iterable[str]) -> Trust:
    """Return the verifiers of verifier keys; empty lines are skipped, repeated ones count once.

    Args:
        texts: The lines of each file.

    Raises:
        TrustUnreadableError: As for `read_trust`.
    """
    keys: dict[str, list[list[VerifierKey]]] = {}
    for text in texts:
        for name, in_order in _by_name(text).items():
            keys.setdefault(name, []).append(in_order)
    by_use: dict[tuple[int, bytes], dict[str, HybridVerifier]] = {_LOG: {}, _COSIGNER: {}, _ROOT: {}}
    earlier: dict[str, tuple[HybridVerifier, ...]] = {}
    for name, orders in keys.items():
        merged = _merged(name, orders)
        use, pairs = _pairs(merged)
        if use == _ROOT and len(pairs) > 1 and not any(len(order) == len(merged) for order in orders):
            # Of logs and cosigners key statements say which came first; of roots nobody but these files.
            msg = f"several roots have the name {name}, and no file (roots.vkeys) holds them all, in order"
            raise TrustUnreadableError(msg)
        by_use[use][name] = pairs[-1]
        if len(pairs) > 1:
            earlier[name] = tuple(reversed(pairs[:-1]))
    return Trust(logs=by_use[_LOG], cosigners=by_use[_COSIGNER], roots=by_use[_ROOT], earlier=earlier)


def _by_name(lines: Iterable[str]) -> dict[str, list[VerifierKey]]:
    """Return the keys of a file by name, as they stand in it."""
    keys: dict[str, dict[VerifierKey, None]] = {}
    for line in lines:
        if not line:
            continue
        try:
            key = parse_verifier_key(line)
        except MalformedError as error:
            msg = "a line of the trusted keys is not a verifier key"
            raise TrustUnreadableError(msg) from error
        keys.setdefault(key.name, {})[key] = None
    return {name: list(found) for name, found in keys.items()}


def _merged(name: str, orders: Sequence[Sequence[VerifierKey]]) -> list[VerifierKey]:
    """Return the keys that several files hold of one name, either half in the order that all files have.

    One file may hold the newest alone, another one all of them: the order of files says nothing.
    """
    merged: list[VerifierKey] = []
    for is_other in (False, True):
        left = [[key for key in order if (key.algorithm == ALGORITHM_OTHER) is is_other] for order in orders]
        while left := [order for order in left if order]:
            first = next((o[0] for o in left if not any(o[0] in other[1:] for other in left)), None)
            if first is None:
                msg = f"files give the keys of {name} in different orders; the newest stands last"
                raise TrustUnreadableError(msg)
            merged.append(first)
            left = [[key for key in order if key != first] for order in left]
    return merged


def _pairs(keys: list[VerifierKey]) -> tuple[tuple[int, bytes], list[HybridVerifier]]:
    """Return what the keys of one name are for, and the pairs of them, as they stand one after another."""
    name = keys[0].name
    classical = [key for key in keys if key.algorithm != ALGORITHM_OTHER]
    post_quantum = [key for key in keys if key.algorithm == ALGORITHM_OTHER]
    if len(classical) != len(post_quantum):
        msg = f"one Ed25519 and one ML-DSA-87 key are needed for {name}"
        raise TrustUnreadableError(msg)
    uses = {(one.algorithm, two.identifier) for one, two in zip(classical, post_quantum, strict=True)}
    use = next(iter(uses))
    if len(uses) > 1 or use not in {_LOG, _COSIGNER, _ROOT}:
        msg = f"the keys of {name} are not for the same purpose"
        raise TrustUnreadableError(msg)
    try:
        pairs = zip(classical, post_quantum, strict=True)
        return use, [HybridVerifier.from_verifier_keys(one, two) for one, two in pairs]
    except MalformedError as error:
        msg = f"the keys of {name} cannot be used"
        raise TrustUnreadableError(msg) from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted({*path.glob("*.vkeys"), *path.glob("*/*.vkeys")})
