"""Only whole key pairs of one purpose are trusted, and two answers to one question are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.trust import Trust, TrustUnreadableError, parse_trust, read_trust
from gateway.core.signature import HybridVerifier
from tests.unit.audit.making import FR, FR_AUDIT, FR_US, US, US_FR, root_vkeys, signer, vkeys


def test_keys_are_sorted_by_what_they_are_for() -> None:
    trust = parse_trust([*vkeys(FR), "", *vkeys(US), *root_vkeys(FR)])
    assert set(trust.logs) == {FR_AUDIT, FR_US, f"{US}/audit", US_FR}
    assert set(trust.cosigners) == {FR, US}
    assert set(trust.roots) == {"entente/root/fr"}
    assert trust.logs[FR_US] == signer(FR_US).verifier


def test_a_repeated_line_counts_once() -> None:
    assert parse_trust([*vkeys(FR), *vkeys(FR)]) == parse_trust(vkeys(FR))


def test_the_keys_of_a_log_are_those_of_its_generations() -> None:
    trust = parse_trust(vkeys(FR))
    second = trust.log(f"{FR_US}/2")
    assert second is not None
    assert (second.name, second.ed25519) == (f"{FR_US}/2", signer(FR_US).verifier.ed25519)
    for origin in (f"{FR_US}/1", f"{FR_US}/0", f"{FR_US}/02", f"{FR_US}/x", f"{FR_US}/2/3", f"{US_FR}/2"):
        assert trust.log(origin) is None


def test_a_node_is_no_foreign_cosigner_of_its_own_logs() -> None:
    trust = parse_trust([*vkeys(FR), *vkeys(US)])
    assert [key.name for key in trust.foreign_cosigners(FR_US)] == [US]
    assert [key.name for key in trust.foreign_cosigners(US_FR)] == [FR]


def test_a_trust_folder_is_read_as_it_is(tmp_path: Path) -> None:
    for name, lines in {
        "own.vkeys": vkeys(FR),
        "peer.vkeys": vkeys(US),
        "own/root.vkeys": root_vkeys(FR),
        "peer/root.vkeys": root_vkeys(US),
        "agencies.json": ["{}"],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    assert read_trust(tmp_path) == parse_trust([*vkeys(FR), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)])
    assert read_trust(tmp_path / "own.vkeys", tmp_path / "peer.vkeys").roots == {}


def test_a_folder_without_keys_trusts_nobody(tmp_path: Path) -> None:
    assert read_trust(tmp_path) == Trust(logs={}, cosigners={}, roots={})


FR_LOG = vkeys(FR)[2:4]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["garbage"], "not a verifier key"),
        ([FR_LOG[0] + " "], "not a verifier key"),
        ([FR_LOG[0].replace("+", "+0", 1)], "not a verifier key"),
        ([FR_LOG[0]], "one Ed25519 and one ML-DSA-87 key are needed"),
        ([FR_LOG[1]], "one Ed25519 and one ML-DSA-87 key are needed"),
        ([vkeys(FR)[4], root_vkeys(FR)[1]], "one Ed25519 and one ML-DSA-87 key are needed"),
    ],
)
def test_what_is_not_a_pair_of_keys_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(TrustUnreadableError, match=why):
        parse_trust(lines)


def other_pair(name: str) -> HybridVerifier:
    verifier = signer("other.gateway.test/x").verifier
    return HybridVerifier(name=name, ed25519=verifier.ed25519, mldsa87=verifier.mldsa87)


def test_keys_that_were_replaced_are_kept_behind_the_newest() -> None:
    later, cosigner = other_pair(FR_US), other_pair(FR)
    lines = [*vkeys(FR), *(key.encode() for key in later.verifier_keys(cosigner=False))]
    lines += [key.encode() for key in cosigner.verifier_keys(cosigner=True)]
    trust = parse_trust(lines)

    assert trust.log(FR_US) == later
    assert trust.log_keys(FR_US) == (later, signer(FR_US).verifier)
    assert [key.ed25519 for key in trust.log_keys(f"{FR_US}/2")] == [
        key.ed25519 for key in trust.log_keys(FR_US)
    ]
    assert trust.foreign_cosigners(US_FR) == (cosigner, signer(FR).verifier)
    assert trust.log_keys(US_FR) == ()


def test_the_newest_key_is_the_same_in_whatever_order_files_are_read() -> None:
    first, second, third = vkeys(FR), vkeys(FR, 2), vkeys(FR, 3)
    for files in (
        ([*first, *second, *third],),
        (third, [*first, *second, *third]),
        ([*first, *second, *third], first, second),
        ([*second, *third], [*first, *second]),
    ):
        trust = parse_trust(*files)
        assert trust.log_keys(FR_US) == tuple(signer(FR_US, keys).verifier for keys in (3, 2, 1))
        assert trust.cosigner_keys(FR) == tuple(signer(FR, keys).verifier for keys in (3, 2, 1))


def test_files_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(TrustUnreadableError, match="in different orders"):
        parse_trust([*vkeys(FR), *vkeys(FR, 2)], [*vkeys(FR, 2), *vkeys(FR)])


def test_roots_of_one_nation_need_a_file_that_says_which_came_first() -> None:
    later = [key.encode() for key in other_pair("entente/root/fr").statement_keys()]
    with pytest.raises(TrustUnreadableError, match="several roots have the name entente/root/fr"):
        parse_trust(root_vkeys(FR), later)

    trust = parse_trust(later, [*root_vkeys(FR), *later], root_vkeys(FR))

    newest, former = trust.root_keys("entente/root/fr")
    assert [key.encode() for key in newest.statement_keys()] == later
    assert [key.encode() for key in former.statement_keys()] == root_vkeys(FR)
    assert trust.root_keys("entente/root/us") == ()


def test_a_cosigners_ed25519_key_and_a_roots_ml_dsa_key_are_no_pair() -> None:
    verifier = signer(FR).verifier
    with pytest.raises(TrustUnreadableError, match="not for the same purpose"):
        parse_trust(
            [verifier.verifier_keys(cosigner=True)[0].encode(), verifier.statement_keys()[1].encode()]
        )


def test_the_two_purposes_of_one_name_are_refused() -> None:
    verifier = signer(FR).verifier
    lines = [key.encode() for purpose in (True, False) for key in verifier.verifier_keys(cosigner=purpose)]
    with pytest.raises(TrustUnreadableError):
        parse_trust(lines)


@pytest.mark.parametrize("data", [b"\xff\xfe", "é\n".encode(), b"x" * 300_000])
def test_a_file_that_is_no_text_of_keys_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "own.vkeys").write_bytes(data)
    with pytest.raises(TrustUnreadableError, match=r"own\.vkeys"):
        read_trust(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrustUnreadableError, match="cannot be read"):
        read_trust(tmp_path / "own.vkeys")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / f"{number}.vkeys").touch()
    with pytest.raises(TrustUnreadableError, match="more than 64"):
        read_trust(tmp_path)
