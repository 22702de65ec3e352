"""The Merkle tree of a log: hashing, appending, proving, verifying.

A log is a list of entries; its root hash commits to every one of them and to their order.
A writer or mirror keeps only the *right edge* (the roots of the perfect subtrees that the
binary digits of the size name, at most 64 hashes) and appends to it. Proofs are built from
stored hashes when an auditor asks for them, and verified against a root that somebody
signed: size, index and root never come from the party whose proof is checked.

Spec: RFC 6962 Section 2.1 (RFC 9162 Section 2.1); docs/spec/log.md, "Tree".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Final, NewType, Protocol

from gateway.errors import MalformedError, PeerError

HASH_BYTES: Final = 32
MAX_TREE_SIZE: Final = 2**63 - 1
MAX_PROOF_HASHES: Final = 63
"""A longer proof belongs to no tree of at most 2^63 leaves."""

TILE_HEIGHT: Final = 8
"""Levels of a tile: hashes are stored at heights 0, 8, 16, … only."""

Hash = NewType("Hash", bytes)
"""A node of the tree, SHA-256, 32 bytes."""

EMPTY_ROOT: Final = Hash(sha256(b"").digest())
"""Root of the tree without leaves."""

# A prepared hash state is copied: this skips the set-up of a new one, a third of the cost.
_leaf_state = sha256(b"\x00").copy
_node_state = sha256(b"\x01").copy


class ProofInvalidError(PeerError):
    """An inclusion or consistency proof does not prove what it is offered for."""

    code = "proof-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class RightEdge:
    """All that is needed to append to a tree and to know its root.

    Attributes:
        size: Number of leaves.
        hashes: Roots of the perfect subtrees that make up the tree, largest (leftmost)
            first; one for each binary 1 in ``size``.
    """

    size: int
    hashes: tuple[Hash, ...]
    # Worked out when it is first asked for: an edge is asked again and again, as it moves on.
    _root: Hash | None = field(init=False, repr=False, compare=False, default=None)
    EMPTY: ClassVar[RightEdge]

    def __post_init__(self) -> None:
        """Refuse hashes that do not belong to the size."""
        if not 0 <= self.size <= MAX_TREE_SIZE or len(self.hashes) != self.size.bit_count():
            msg = "a right edge has one hash for each binary 1 in its size"
            raise ValueError(msg)

    @classmethod
    def empty(cls) -> RightEdge:
        """Return the edge of the tree without leaves."""
        return cls(size=0, hashes=())

    @classmethod
    def decode(cls, size: int, data: bytes) -> RightEdge:
        """Return the edge of a tree of ``size`` leaves from its stored hashes.

        Raises:
            MalformedError: The number of bytes does not belong to the size.
        """
        if not 0 <= size <= MAX_TREE_SIZE or len(data) != size.bit_count() * HASH_BYTES:
            msg = "the stored right edge does not belong to the tree size"
            raise MalformedError(msg)
        return cls(size=size, hashes=split_hashes(data))

    def encode(self) -> bytes:
        """Return the hashes, 32 bytes each, largest subtree first."""
        return b"".join(self.hashes)

    def root(self) -> Hash:
        """Return the root hash of the tree, 32 bytes."""
        root = self._root
        if root is None:
            *rest, root = self.hashes or (EMPTY_ROOT,)
            for left in reversed(rest):
                root = hash_children(left, root)
            object.__setattr__(self, "_root", root)
        return root


RightEdge.EMPTY = RightEdge(size=0, hashes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class TileHash:
    """Root of a complete subtree of 256^level leaves, to be stored for ever.

    Attributes:
        level: Tile level, 1 or more (level 0 are the leaf hashes).
        index: Position among the subtrees of this level, from 0.
        hash: The root, 32 bytes.
    """

    level: int
    index: int
    hash: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The outcome of an append.

    Attributes:
        edge: The right edge afterwards.
        tile_hashes: Roots of the subtrees of height 8, 16, … that became complete.
    """

    edge: RightEdge
    tile_hashes: tuple[TileHash, ...]


class HashReader(Protocol):
    """Gives the stored hashes of one tree."""

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return the hashes ``start`` to ``end`` (excluded) of a tile level.

        Args:
            level: 0 for leaf hashes, k for roots of complete subtrees of 256^k leaves.
            start: First position within the level.
            end: One behind the last, at most 256 further; never beyond what is complete.
        """
        ...


def hash_leaf(entry: bytes) -> Hash:
    """Return the leaf hash of an entry, 32 bytes."""
    state = _leaf_state()
    state.update(entry)
    return Hash(state.digest())


def hash_children(left: Hash, right: Hash) -> Hash:
    """Return the hash of an inner node, 32 bytes."""
    state = _node_state()
    state.update(left + right)
    return Hash(state.digest())


def append(edge: RightEdge, leaf_hashes: Sequence[Hash]) -> Appended:
    """Append leaves to a tree, level by level.

    Args:
        edge: Right edge of the tree so far.
        leaf_hashes: Hashes of the new leaves, in order.

    Returns:
        The new edge, and the subtree roots that a store keeps for tiles and proofs.

    Raises:
        ValueError: The tree would exceed 2^63 - 1 leaves.
    """
    size = edge.size + len(leaf_hashes)
    if size > MAX_TREE_SIZE:
        msg = "a tree has at most 2^63 - 1 leaves"
        raise ValueError(msg)
    left = list(edge.hashes)  # consumed from its end: smallest subtree first
    nodes: list[Hash] = list(leaf_hashes)
    kept: list[Hash] = []  # the new edge, smallest subtree first
    tile_hashes: list[TileHash] = []
    height = 0
    while nodes:
        first = edge.size >> height
        if height and height % TILE_HEIGHT == 0:
            level = height // TILE_HEIGHT
            tile_hashes += [
                TileHash(level=level, index=first + offset, hash=node) for offset, node in enumerate(nodes)
            ]
        if first & 1:
            nodes.insert(0, left.pop())
        if len(nodes) & 1:
            kept.append(nodes.pop())
        nodes = _parents(nodes)
        height += 1
    # Above this height nothing changed: the rest of the old edge is still the edge.
    return Appended(
        edge=RightEdge(size=size, hashes=(*left, *reversed(kept))), tile_hashes=tuple(tile_hashes)
    )


def root_of(leaf_hashes: Sequence[Hash]) -> Hash:
    """Return the root hash of the tree of exactly these leaves."""
    return append(RightEdge.EMPTY, leaf_hashes).edge.root()


def edge_at(size: int, *, reader: HashReader) -> RightEdge:
    """Return the right edge that a tree had when it held ``size`` leaves.

    Args:
        size: Number of leaves, from 0 to the present size of the tree.
        reader: Stored hashes of the tree.

    Raises:
        ValueError: No tree has such a size.
    """
    if not 0 <= size <= MAX_TREE_SIZE:
        msg = "the tree size is out of range"
        raise ValueError(msg)
    return RightEdge(size=size, hashes=tuple(_perfect_roots(0, size, reader)))


def split_hashes(data: bytes) -> tuple[Hash, ...]:
    """Return the 32-byte hashes that ``data`` is the concatenation of.

    Raises:
        MalformedError: The length is not a multiple of 32.
    """
    if len(data) % HASH_BYTES:
        msg = "hashes are 32 bytes each"
        raise MalformedError(msg)
    return tuple(Hash(data[at : at + HASH_BYTES]) for at in range(0, len(data), HASH_BYTES))


def inclusion_proof(*, leaf_index: int, tree_size: int, reader: HashReader) -> tuple[Hash, ...]:
    """Return the proof that a leaf is in a tree: its sibling first, the root's child last.

    Args:
        leaf_index: Position of the leaf, from 0.
        tree_size: Leaves of the tree; at least ``leaf_index + 1``.
        reader: Stored hashes of this tree or of a later state of it.

    Raises:
        ValueError: There is no such leaf.
    """
    if not 0 <= leaf_index < tree_size <= MAX_TREE_SIZE:
        msg = "the leaf index lies outside the tree"
        raise ValueError(msg)
    proof: list[Hash] = []
    start, end = 0, tree_size
    while end - start > 1:
        middle = start + _split(end - start)
        if leaf_index < middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(*, old_size: int, new_size: int, reader: HashReader) -> tuple[Hash, ...]:
    """Return the proof that the tree of ``new_size`` begins with the one of ``old_size``.

    Args:
        old_size: Leaves of the earlier tree; an empty proof is returned for 0.
        new_size: Leaves of the later tree.
        reader: Stored hashes of the later tree or of a still later state of it.

    Raises:
        ValueError: ``old_size`` is larger than ``new_size``.
    """
    if not 0 <= old_size <= new_size <= MAX_TREE_SIZE:
        msg = "the old tree is larger than the new one"
        raise ValueError(msg)
    if old_size in {0, new_size}:
        return ()
    proof: list[Hash] = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start = middle
    # Where the old tree is itself a perfect subtree of the new one, the verifier has its root.
    if start:
        proof.append(_range_root(start, end, reader))
    return tuple(reversed(proof))


def verify_inclusion(
    *, leaf_hash: Hash, leaf_index: int, tree_size: int, proof: Sequence[Hash], root_hash: Hash
) -> None:
    """Verify that a leaf stands at an index of the tree with a given size and root.

    Args:
        leaf_hash: Hash of the leaf, computed by the caller from the entry.
        leaf_index: Position, from a source the caller trusts.
        tree_size: Size from a verified checkpoint.
        proof: Sibling hashes, 32 bytes each, leaf's sibling first.
        root_hash: Root from the same verified checkpoint.

    Raises:
        ProofInvalidError: The proof does not lead from the leaf to the root.

    Spec: RFC 9162 Section 2.1.3.2.
    """
    _check_proof(proof, leaf_hash, root_hash)
    if not 0 <= leaf_index < tree_size <= MAX_TREE_SIZE:
        msg = "the leaf index lies outside the tree"
        raise ProofInvalidError(msg)
    node = leaf_hash
    for sibling, is_left in zip(proof, _sides(leaf_index, tree_size - 1, len(proof)), strict=True):
        node = hash_children(sibling, node) if is_left else hash_children(node, sibling)
    if node != root_hash:
        msg = "the inclusion proof does not lead to the root"
        raise ProofInvalidError(msg)


def verify_consistency(
    *, old_size: int, new_size: int, proof: Sequence[Hash], old_root: Hash, new_root: Hash
) -> None:
    """Verify that one tree is the beginning of another.

    Args:
        old_size: Size of the earlier tree, from a verified checkpoint.
        new_size: Size of the later tree, from a verified checkpoint.
        proof: 32-byte hashes in the order of RFC 9162.
        old_root: Root of the earlier tree.
        new_root: Root of the later tree.

    Raises:
        ProofInvalidError: The proof does not show it.

    Spec: RFC 9162 Section 2.1.4.2.
    """
    _check_proof(proof, old_root, new_root)
    if not 0 <= old_size <= new_size <= MAX_TREE_SIZE:
        msg = "the old tree is larger than the new one"
        raise ProofInvalidError(msg)
    if old_size in {0, new_size}:
        known = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != known or (new_size == 0 and new_root != EMPTY_ROOT):
            msg = "the trees are not consistent"
            raise ProofInvalidError(msg)
        return
    # An old tree of a power of two leaves is itself a subtree: the proof leaves its root out.
    path = (old_root, *proof) if old_size.bit_count() == 1 else tuple(proof)
    if not path:
        msg = "the consistency proof is too short"
        raise ProofInvalidError(msg)
    height = (old_size & -old_size).bit_length() - 1  # of the last perfect subtree of the old tree
    sides = _sides((old_size - 1) >> height, (new_size - 1) >> height, len(path) - 1)
    old_node = new_node = path[0]
    for sibling, is_left in zip(path[1:], sides, strict=True):
        if is_left:
            old_node = hash_children(sibling, old_node)
            new_node = hash_children(sibling, new_node)
        else:
            new_node = hash_children(new_node, sibling)
    if old_node != old_root or new_node != new_root:
        msg = "the trees are not consistent"
        raise ProofInvalidError(msg)


def _sides(position: int, last: int, count: int) -> list[bool]:
    """Return for each hash of a path whether it stands on the left.

    Args:
        position: Node that the path starts at, counted from the left at its height.
        last: Last node at this height.
        count: Hashes of the path.

    Raises:
        ProofInvalidError: The way to the root takes another number of hashes.
    """
    sides: list[bool] = []
    for _ in range(count):
        if last == 0:
            break
        is_left = position & 1 == 1 or position == last
        sides.append(is_left)
        while is_left and position and not position & 1:
            # The last node of a height has no sibling here and rises as it is.
            position >>= 1
            last >>= 1
        position >>= 1
        last >>= 1
    if last or len(sides) != count:
        msg = "the proof is too long or too short for its tree"
        raise ProofInvalidError(msg)
    return sides


def _parents(nodes: list[Hash]) -> list[Hash]:
    """Return the parents of an even number of nodes; the loop where appending spends its time."""
    state_of = _node_state
    parents: list[Hash] = []
    add = parents.append
    pairs = iter(nodes)
    for left, right in zip(pairs, pairs, strict=True):
        state = state_of()
        state.update(left + right)
        add(state.digest())  # type: ignore[arg-type]  # Hash() is a call for each node
    return parents


def _split(size: int) -> int:
    """Return the largest power of two below ``size`` (which is at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def _perfect_roots(start: int, end: int, reader: HashReader) -> list[Hash]:
    """Return the roots of the perfect subtrees that the leaves ``start`` to ``end`` fall into."""
    roots: list[Hash] = []
    at = start
    while at < end:
        height = (end - at).bit_length() - 1
        level, within = divmod(height, TILE_HEIGHT)
        first = at >> TILE_HEIGHT * level
        roots.append(root_of(reader.hashes(level, first, first + (1 << within))))
        at += 1 << height
    return roots


def _range_root(start: int, end: int, reader: HashReader) -> Hash:
    """Return the root over the leaves ``start`` to ``end``, a subtree of a larger tree.

    ``start`` is a multiple of the largest power of two in ``end - start``, as it is for
    every subtree that RFC 6962 splits off; the range falls into perfect subtrees like the
    right edge of a tree does.
    """
    roots = _perfect_roots(start, end, reader)
    root = roots.pop()
    while roots:
        root = hash_children(roots.pop(), root)
    return root


def _check_proof(proof: Sequence[Hash], *ends: Hash) -> None:
    """Refuse a proof that is too long, and what is not a hash; ``ends`` are leaf and roots."""
    if len(proof) > MAX_PROOF_HASHES or any(len(node) != HASH_BYTES for node in (*proof, *ends)):
        msg = f"a proof is at most {MAX_PROOF_HASHES} hashes of {HASH_BYTES} bytes"
        raise ProofInvalidError(msg)
