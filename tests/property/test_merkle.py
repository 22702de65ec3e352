"""Laws of the tree: steps do not matter, true statements are proved, false ones are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.merkle import (
    Hash,
    ProofInvalidError,
    RightEdge,
    TileHash,
    append,
    consistency_proof,
    hash_leaf,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.core.tiles import decode_bundle, encode_bundle, files_for, parse_tile_path
from gateway.errors import MalformedError

LEAVES = [hash_leaf(number.to_bytes(4, "big")) for number in range(70_000)]
APPENDED = append(RightEdge.EMPTY, LEAVES)
SIZES = (
    st.integers(1, 600)
    | st.integers(1, len(LEAVES))
    | st.sampled_from([255, 256, 257, 65_535, 65_536, 65_537])
)


class StoredHashes:
    """The stored hashes of the largest tree; those of a smaller one are a prefix of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.levels = [LEAVES] + [
            [item.hash for item in APPENDED.tile_hashes if item.level == level] for level in (1, 2)
        ]

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        assert 0 <= start < end <= self.size >> 8 * level, "only complete subtrees are asked for"
        return self.levels[level][start:end]


@given(st.lists(st.integers(0, 700), max_size=8))
def test_a_tree_grows_to_the_same_edge_in_whatever_steps(steps: list[int]) -> None:
    edge = RightEdge.EMPTY
    stored: list[TileHash] = []
    for step in steps:
        appended = append(RightEdge.decode(edge.size, edge.encode()), LEAVES[edge.size : edge.size + step])
        edge = appended.edge
        stored += appended.tile_hashes
    whole = append(RightEdge.EMPTY, LEAVES[: edge.size])

    assert edge == whole.edge
    assert tuple(stored) == whole.tile_hashes


@given(SIZES, st.data())
def test_every_leaf_is_proved_and_no_altered_proof_passes(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = root_of(LEAVES[:size])
    proof = inclusion_proof(leaf_index=index, tree_size=size, reader=StoredHashes(size))

    def check(path: Sequence[Hash], leaf: Hash = LEAVES[index], at: int = index) -> None:
        verify_inclusion(leaf_hash=leaf, leaf_index=at, tree_size=size, proof=path, root_hash=root)

    check(proof)
    assert len(proof) <= max(size - 1, 0).bit_length()
    other_index = data.draw(st.integers(0, size - 1))
    if other_index != index:
        with pytest.raises(ProofInvalidError):
            check(proof, at=other_index)
        with pytest.raises(ProofInvalidError):
            check(proof, leaf=LEAVES[other_index])
    for altered in altered_proofs(proof, data):
        with pytest.raises(ProofInvalidError):
            check(altered)


@given(SIZES, st.data())
def test_every_earlier_tree_is_proved_and_no_altered_proof_passes(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    old_root, root = root_of(LEAVES[:old]), root_of(LEAVES[:size])
    proof = consistency_proof(old_size=old, new_size=size, reader=StoredHashes(size))

    def check(path: Sequence[Hash], claimed: Hash = old_root) -> None:
        verify_consistency(old_size=old, new_size=size, proof=path, old_root=claimed, new_root=root)

    check(proof)
    with pytest.raises(ProofInvalidError):
        check(proof, root_of([*LEAVES[: old - 1], LEAVES[-1]]))
    for altered in altered_proofs(proof, data):
        with pytest.raises(ProofInvalidError):
            check(altered)


def altered_proofs(proof: Sequence[Hash], data: st.DataObject) -> list[tuple[Hash, ...]]:
    extra = data.draw(st.sampled_from(LEAVES[:10]))
    others = [(*proof, extra), (extra, *proof)]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        node = Hash((int.from_bytes(proof[at], "big") ^ (1 << bit)).to_bytes(32, "big"))
        others += [(*proof[:at], node, *proof[at + 1 :]), (*proof[:at], *proof[at + 1 :])]
    return others


@given(st.integers(1, 300_000))
def test_the_files_of_a_log_have_one_name_each_and_hold_every_hash_once(size: int) -> None:
    found: dict[int | None, int] = {}
    for file in files_for(size):
        assert parse_tile_path(file.path) == file
        assert found.get(file.level, 0) == file.start
        found[file.level] = file.end
    expected: dict[int | None, int] = {None: size}
    expected |= {level: size >> 8 * level for level in range(8) if size >> 8 * level}

    assert found == expected


@given(st.lists(st.binary(max_size=700), min_size=1, max_size=256))
def test_an_entry_bundle_is_read_back(entries: list[bytes]) -> None:
    data = encode_bundle(entries)

    assert decode_bundle(data, len(entries)) == tuple(entries)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.data())
def test_a_truncated_or_extended_entry_bundle_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    whole = encode_bundle(entries)
    end = data.draw(st.integers(0, len(whole) - 1))
    for other in (whole[:end], whole + data.draw(st.binary(min_size=1, max_size=3))):
        with pytest.raises(MalformedError):
            decode_bundle(other, len(entries))


@given(
    st.text(max_size=40)
    | st.from_regex(r"tile/[0-9entris]{1,7}/[x0-9/]{3,12}(\.p/[0-9]{1,4})?", fullmatch=True)
)
def test_a_path_is_read_in_its_own_form_only(path: str) -> None:
    try:
        file = parse_tile_path(path)
    except MalformedError:
        return
    assert file.path == path
