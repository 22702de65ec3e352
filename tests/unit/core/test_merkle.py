"""The tree agrees with the reference tests, with pymerkle, and with nothing that is altered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pymerkle import InmemoryTree

from gateway.core.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    Hash,
    ProofInvalidError,
    RightEdge,
    TileHash,
    append,
    consistency_proof,
    edge_at,
    hash_children,
    hash_leaf,
    inclusion_proof,
    root_of,
    split_hashes,
    verify_consistency,
    verify_inclusion,
)
from gateway.errors import MalformedError, PeerError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle.json").read_text("utf-8"))
LEAVES = [hash_leaf(b"entry %d" % number) for number in range(1_100)]
SMALL = 20
"""Trees up to this size are tried exhaustively."""


class StoredHashes:
    """What a store keeps of a tree of ``size`` leaves, and refusal of all it cannot know."""

    def __init__(self, size: int) -> None:
        self.levels: list[list[Hash]] = [LEAVES[:size]]
        for tile_hash in append(RightEdge.EMPTY, LEAVES[:size]).tile_hashes:
            while len(self.levels) <= tile_hash.level:
                self.levels.append([])
            assert tile_hash.index == len(self.levels[tile_hash.level])
            self.levels[tile_hash.level].append(tile_hash.hash)

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        assert 0 <= start < end <= len(self.levels[level]), "only complete subtrees are asked for"
        assert end - start <= 256
        return self.levels[level][start:end]


def hashes(texts: list[str]) -> list[Hash]:
    return [Hash(bytes.fromhex(text)) for text in texts]


def flipped(node: Hash) -> Hash:
    return Hash(bytes((node[0] ^ 1, *node[1:])))


VECTOR_LEAVES = [hash_leaf(bytes.fromhex(entry)) for entry in VECTORS["entries"]]
VECTOR_ROOTS = hashes(VECTORS["roots"])
STORE = StoredHashes(1_100)
ROOTS = [root_of(LEAVES[:size]) for size in range(SMALL + 2)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_tests(size: int) -> None:
    assert root_of(VECTOR_LEAVES[:size]) == VECTOR_ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=str)
def test_inclusion_proofs_of_the_reference_tests_verify(vector: dict[str, Any]) -> None:
    verify_inclusion(
        leaf_hash=VECTOR_LEAVES[vector["leaf_index"]],
        leaf_index=vector["leaf_index"],
        tree_size=vector["tree_size"],
        proof=hashes(vector["proof"]),
        root_hash=VECTOR_ROOTS[vector["tree_size"]],
    )


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=str)
def test_consistency_proofs_of_the_reference_tests_verify(vector: dict[str, Any]) -> None:
    verify_consistency(
        old_size=vector["old_size"],
        new_size=vector["new_size"],
        proof=hashes(vector["proof"]),
        old_root=VECTOR_ROOTS[vector["old_size"]],
        new_root=VECTOR_ROOTS[vector["new_size"]],
    )


def test_roots_and_proofs_are_those_of_pymerkle() -> None:
    theirs = InmemoryTree(algorithm="sha256")
    assert theirs.get_root(0) == EMPTY_ROOT
    for number in range(300):
        theirs.append_entry(b"entry %d" % number)

    for size in range(1, 301):
        assert theirs.get_root(size) == root_of(LEAVES[:size])
    for size in (*range(1, 18), 255, 256, 257, 300):
        for index in {*range(min(size, 17)), size // 2, size - 1}:
            path = theirs.prove_inclusion(index + 1, size).path
            # Theirs counts leaves from 1, and its path begins with the leaf itself.
            assert tuple(path) == (
                LEAVES[index],
                *inclusion_proof(leaf_index=index, tree_size=size, reader=STORE),
            )
        for old in {*range(1, min(size, 17)), size // 2, size - 1} - {0}:
            verify_consistency(
                old_size=old,
                new_size=size,
                proof=consistency_proof(old_size=old, new_size=size, reader=STORE),
                old_root=Hash(theirs.get_root(old)),
                new_root=Hash(theirs.get_root(size)),
            )


def test_proofs_are_those_of_the_definition() -> None:
    """RFC 9162, Sections 2.1.3.1 and 2.1.4.1, word for word."""

    def split(size: int) -> int:
        return next(power for power in (1 << bit for bit in range(20)) if power < size <= 2 * power)

    def path(index: int, leaves: list[Hash]) -> list[Hash]:
        if len(leaves) == 1:
            return []
        k = split(len(leaves))
        if index < k:
            return [*path(index, leaves[:k]), root_of(leaves[k:])]
        return [*path(index - k, leaves[k:]), root_of(leaves[:k])]

    def subproof(old: int, leaves: list[Hash], *, known: bool) -> list[Hash]:
        if old == len(leaves):
            return [] if known else [root_of(leaves)]
        k = split(len(leaves))
        if old <= k:
            return [*subproof(old, leaves[:k], known=known), root_of(leaves[k:])]
        return [*subproof(old - k, leaves[k:], known=False), root_of(leaves[:k])]

    for size in (*range(1, 34), 255, 256, 257, 300):
        for index in {*range(min(size, 17)), size // 2, size - 1}:
            assert inclusion_proof(leaf_index=index, tree_size=size, reader=STORE) == tuple(
                path(index, LEAVES[:size])
            )
        for old in {*range(1, min(size + 1, 34)), size // 2, size - 1, size} - {0}:
            assert consistency_proof(old_size=old, new_size=size, reader=STORE) == tuple(
                subproof(old, LEAVES[:size], known=True)
            )


def test_a_tree_grows_to_the_same_edge_in_whatever_steps() -> None:
    whole = append(RightEdge.EMPTY, LEAVES)
    for step in (1, 2, 3, 255, 256, 257, 700):
        edge = RightEdge.empty()
        stored: list[TileHash] = []
        for start in range(0, len(LEAVES), step):
            appended = append(edge, LEAVES[start : start + step])
            edge = appended.edge
            stored += appended.tile_hashes
            assert edge.root() == root_of(LEAVES[: edge.size])
        assert edge == whole.edge
        assert stored == list(whole.tile_hashes)


def test_tile_hashes_are_the_roots_of_complete_subtrees() -> None:
    # 66,000 leaves complete 257 subtrees of 256 leaves and one of 65,536.
    leaves = [LEAVES[number % 1_000] for number in range(66_000)]
    appended = append(RightEdge.EMPTY, leaves)

    assert [(item.level, item.index) for item in appended.tile_hashes] == [
        *((1, index) for index in range(257)),
        (2, 0),
    ]
    assert appended.tile_hashes[256].hash == root_of(leaves[65_536:65_792])
    assert appended.tile_hashes[257].hash == root_of(leaves[:65_536])


def test_appending_nothing_changes_nothing() -> None:
    edge = append(RightEdge.EMPTY, LEAVES[:77]).edge

    assert append(edge, []).edge == edge
    assert append(edge, []).tile_hashes == ()


def test_a_tree_has_a_largest_size() -> None:
    edge = RightEdge(size=MAX_TREE_SIZE, hashes=(LEAVES[0],) * 63)

    with pytest.raises(ValueError, match="2\\^63"):
        append(edge, LEAVES[:1])


def test_an_edge_is_stored_as_its_hashes() -> None:
    edge = append(RightEdge.EMPTY, LEAVES[:77]).edge

    assert edge.encode() == b"".join(edge.hashes)
    assert RightEdge.decode(77, edge.encode()) == edge
    assert RightEdge.decode(0, b"") == RightEdge.EMPTY


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 31), (1, 33), (1, 64), (3, 32), (-1, 32)])
def test_an_edge_of_another_size_is_refused(size: int, length: int) -> None:
    with pytest.raises(MalformedError):
        RightEdge.decode(size, bytes(length))


@pytest.mark.parametrize("size", [-1, 0, 2, 3, 2**63])
def test_an_edge_has_one_hash_for_each_binary_one(size: int) -> None:
    with pytest.raises(ValueError, match="edge"):
        RightEdge(size=size, hashes=(LEAVES[0],) * (1 if size != 2 else 2))


def test_every_inclusion_proof_of_a_small_tree_verifies_and_no_altered_one() -> None:
    for size in range(1, SMALL + 1):
        for index in range(size):
            proof = inclusion_proof(leaf_index=index, tree_size=size, reader=StoredHashes(size))
            good: dict[str, Any] = {
                "leaf_hash": LEAVES[index],
                "leaf_index": index,
                "tree_size": size,
                "proof": proof,
                "root_hash": ROOTS[size],
            }
            verify_inclusion(**good)
            others: list[dict[str, Any]] = [
                {"leaf_hash": LEAVES[index + 1]},
                {"leaf_hash": flipped(LEAVES[index])},
                {"root_hash": ROOTS[size - 1]},
                {"root_hash": flipped(ROOTS[size])},
                {"proof": (*proof, LEAVES[0])},
                {"proof": (LEAVES[0], *proof)},
                {"proof": (*proof, ROOTS[size])},
                {"leaf_index": size},
                {"leaf_index": -1},
                *({"leaf_index": other} for other in range(size) if other != index),
            ]
            if proof:
                others += [{"proof": proof[:-1]}, {"proof": proof[1:]}, {"proof": ()}]
                others += [
                    {"proof": (*proof[:at], flipped(proof[at]), *proof[at + 1 :])} for at in range(len(proof))
                ]
                others += [{"proof": (*proof[:-1], Hash(proof[-1][:31]))}]
            for other in others:
                with pytest.raises(ProofInvalidError):
                    verify_inclusion(**(good | other))


def test_every_consistency_proof_of_a_small_tree_verifies_and_no_altered_one() -> None:
    for new in range(SMALL + 1):
        for old in range(new + 1):
            proof = consistency_proof(old_size=old, new_size=new, reader=StoredHashes(new))
            good: dict[str, Any] = {
                "old_size": old,
                "new_size": new,
                "proof": proof,
                "old_root": ROOTS[old],
                "new_root": ROOTS[new],
            }
            verify_consistency(**good)
            others: list[dict[str, Any]] = [
                {"old_root": flipped(ROOTS[old])},
                {"old_root": ROOTS[old + 1]},
                {"proof": (*proof, LEAVES[0])},
                {"proof": (LEAVES[0], *proof)},
                {"old_size": new + 1},
                {"old_size": -1},
                {"new_root": Hash(ROOTS[new][:31])},
            ]
            if old or not new:
                # Nothing is claimed about what follows an empty tree.
                others += [{"new_root": flipped(ROOTS[new])}]
            if proof:
                others += [{"proof": proof[:-1]}, {"proof": proof[1:]}, {"proof": ()}]
                others += [
                    {"proof": (*proof[:at], flipped(proof[at]), *proof[at + 1 :])} for at in range(len(proof))
                ]
                others += [{"old_size": size} for size in range(1, new + 1) if size != old]
            for other in others:
                with pytest.raises(ProofInvalidError):
                    verify_consistency(**(good | other))


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 515, 768, 1_023, 1_024, 1_025, 1_100])
def test_proofs_reach_over_tile_borders(size: int) -> None:
    store, root = StoredHashes(size), root_of(LEAVES[:size])
    for index in {0, 1, 127, 128, 200, 254, 255, size // 2, size - 2, size - 1} & set(range(size)):
        verify_inclusion(
            leaf_hash=LEAVES[index],
            leaf_index=index,
            tree_size=size,
            proof=inclusion_proof(leaf_index=index, tree_size=size, reader=store),
            root_hash=root,
        )
    for old in {1, 2, 3, 127, 128, 255, 256, 257, 512, 513, size // 2, size - 1, size} & set(range(size + 1)):
        verify_consistency(
            old_size=old,
            new_size=size,
            proof=consistency_proof(old_size=old, new_size=size, reader=store),
            old_root=root_of(LEAVES[:old]),
            new_root=root,
        )


def test_the_edge_of_every_earlier_tree_is_found_in_the_store() -> None:
    for size in (*range(40), 255, 256, 257, 511, 512, 1_023, 1_024, 1_100):
        assert edge_at(size, reader=STORE) == append(RightEdge.EMPTY, LEAVES[:size]).edge
    for size in (-1, 2**63):
        with pytest.raises(ValueError, match="out of range"):
            edge_at(size, reader=STORE)


def test_a_proof_of_64_hashes_is_refused_unread() -> None:
    with pytest.raises(ProofInvalidError, match="63"):
        verify_inclusion(
            leaf_hash=LEAVES[0], leaf_index=0, tree_size=2, proof=LEAVES[:64], root_hash=LEAVES[0]
        )
    with pytest.raises(ProofInvalidError, match="63"):
        verify_consistency(old_size=1, new_size=2, proof=LEAVES[:64], old_root=LEAVES[0], new_root=LEAVES[1])


def test_a_leaf_is_not_taken_for_an_inner_node() -> None:
    forged = LEAVES[0] + LEAVES[1]

    assert hash_leaf(forged) != hash_children(LEAVES[0], LEAVES[1])


def test_a_proof_that_nobody_can_give_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="outside"):
        inclusion_proof(leaf_index=5, tree_size=5, reader=STORE)
    with pytest.raises(ValueError, match="larger"):
        consistency_proof(old_size=6, new_size=5, reader=STORE)


def test_hashes_are_cut_at_32_bytes() -> None:
    assert split_hashes(b"".join(LEAVES[:3])) == tuple(LEAVES[:3])
    with pytest.raises(MalformedError):
        split_hashes(bytes(33))


def test_the_peer_has_to_act_on_an_invalid_proof() -> None:
    assert issubclass(ProofInvalidError, PeerError)
    assert ProofInvalidError.code == "proof-invalid"


def test_all_roots_differ() -> None:
    assert all(first != second for first, second in pairwise(ROOTS))
