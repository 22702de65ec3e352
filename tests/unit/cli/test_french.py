"""Each sentence that a command may end with exists in French."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.cli.french import in_french
from gateway.cli.refusals import told
from gateway.config import parse_config
from gateway.errors import ConfigError

ROOT = Path(gateway.__file__).parent
SPOKEN = frozenset(
    {
        *("AnswerUnreadableError", "BackupError", "CatalogueError", "CeremonyError", "ConfigError"),
        *("GenerationBehindError", "HighWaterError", "IdentityError", "KeyUnusableError", "LogDamagedError"),
        *("NotReachableError", "NotThePeerError", "OrdersError", "OwnCertificateEndedError"),
        *("OwnKeyUnknownError",),
        *("PairFrozenError", "PeerError", "ReferenceListError", "RollbackError", "StatementRefusedError"),
        *("StoreError", "TrustError", "UnavailableError", "UnprovenHistoryError"),
    }
)
"""Errors that a command ends with. Others are answers of a port, with words of their own, or are caught."""
NODE_ALONE = frozenset(
    {
        # Caught by the tasks of a node, which log the code.
        *("link/third_parties.py", "node/attestations.py", "node/intake.py", "node/mirror.py"),
    }
)


def sentences() -> Iterator[tuple[str, str]]:
    """Yield each sentence with the place where it is raised; ``X`` stands for a fact."""
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place in NODE_ALONE or place.startswith("audit/"):
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from ((f"{place}:{line}", text) for line, text in _raised(function))


def _raised(function: ast.AST) -> Iterator[tuple[int, str]]:
    nodes = list(ast.walk(function))
    calls = [
        node
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in SPOKEN
        and node.args
    ]
    for call in calls:
        given = call.args[0]
        if not isinstance(given, ast.Name):
            yield from ((call.lineno, text) for text in _texts(given))
            continue
        # What the name stands for is set in the lines before; a branch may set it to each of several.
        first = max((other.lineno for other in calls if other.lineno < call.lineno), default=0)
        for node in nodes:
            if (
                isinstance(node, ast.Assign)
                and first < node.lineno < call.lineno
                and any(isinstance(target, ast.Name) and target.id == given.id for target in node.targets)
            ):
                yield from ((call.lineno, text) for text in _texts(node.value))


def _texts(node: ast.expr) -> list[str]:
    """Return the sentences that an expression may stand for; none if it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return [
                "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
            ]
        case ast.IfExp():
            return [*_texts(node.body), *_texts(node.orelse)]
        case ast.BinOp():
            return [left + right for left in _texts(node.left) for right in _texts(node.right) or ["X"]]
        case _:
            return []


def test_each_sentence_that_a_command_may_end_with_exists_in_french() -> None:
    found = set(sentences())
    assert len(found) > 180

    assert sorted(item for item in found if in_french(item[1]) is None) == []


def test_what_the_system_says_of_a_file_is_french_as_well() -> None:
    told_by_the_system = [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EISDIR, errno.EROFS, errno.EIO]

    assert [
        os.strerror(number) for number in told_by_the_system if in_french(os.strerror(number)) is None
    ] == []


def test_facts_stay_as_they_are_and_sentences_within_become_french() -> None:
    assert in_french(
        "/srv/fr/gateway.toml cannot be read (No such file or directory): create a node home "
        "with `entente init`"
    ) == (
        "/srv/fr/gateway.toml ne peut être lu (fichier ou dossier absent) : créez un dossier de nœud avec "
        "`entente init`"
    )
    assert in_french("nobody ever raises this") is None


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("[node", "n'est pas du TOML"),
        ("[nowhere]\nx = 1\n", "nowhere : clé inconnue"),
        (
            "[limits]\nconnections = 1\n",
            "limits.connections : la valeur devrait être supérieure ou égale à 4",
        ),
        ('[log]\nlevel = "loud"\n', "« debug', 'info', 'warning » ou « error »"),
        ('[peer_api]\nlisten = "nowhere"\n', "peer_api.listen : attendu : adresse:port"),
        ('[store]\nurl = "redis://x"\n', "store.url : attendu : sqlite:///CHEMIN"),
        ("", "node : manque"),
    ],
)
def test_each_line_of_a_refused_configuration_is_french(text: str, french: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, path=Path("gateway.toml"))

    said = told(refused.value).fr
    assert french in said
    assert not re.search(r"\b(the|is|expected|Input|should)\b", said)


@pytest.mark.parametrize(
    ("arguments", "french"),
    [
        (["whoami", "--as", "nowhere", "--url", "https://x:1"], "nowhere doit contenir client.pem"),
        (["queue", "list", "--as", "nowhere", "--url", "https://x:1"], "nowhere doit contenir client.pem"),
        (["config", "check", "--home", "nowhere"], "ne peut être lu (fichier ou dossier absent)"),
        (["doctor", "--home", "nowhere"], "ne peut être lu (fichier ou dossier absent)"),
    ],
)
def test_commands_of_agencies_and_operators_refuse_in_french(arguments: list[str], french: str) -> None:
    assert french in CliRunner().invoke(app, [*arguments, "--language", "fr"]).output
