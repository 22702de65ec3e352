"""What must stay true of the project as a whole: its files, locks, links, scripts and imports."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-hsm.lock", "requirements-dev.lock")
EXTRAS = (("build",), ("build", "hsm"), ("build", "hsm", "dev"))


def tracked_files() -> list[Path]:
    """Return what git would commit: tracked files and new ones that are not ignored."""
    listing = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = (ROOT / name for name in sorted(set(listing.decode().split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the tracked files that are text."""
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield path, content.decode("utf-8", "replace")


def documents() -> list[Path]:
    """Return the tracked Markdown files."""
    return [path for path in tracked_files() if path.suffix == ".md"]


def project_table() -> dict[str, object]:
    """Return the table [project] of pyproject.toml."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def locked(name: str) -> dict[str, Version]:
    """Return the packages of a lock with their versions."""
    pins = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE
    )
    return {canonicalize_name(package): Version(version) for package, version in pins}


def requirements(*extras: str) -> list[Requirement]:
    """Return the direct dependencies of the project, with those of the extras named."""
    table = project_table()
    lines = table["dependencies"]
    optional = table["optional-dependencies"]
    assert isinstance(lines, list)
    assert isinstance(optional, dict)
    return [Requirement(line) for line in [*lines, *(line for extra in extras for line in optional[extra])]]


# --- files -----------------------------------------------------------------------------


def configured_index_hosts() -> set[str]:
    """Return the hosts of package indexes that this machine is set up with, without the public ones."""
    listing = subprocess.run(
        (sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    variables = [
        value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_")) and "INDEX" in name
    ]
    hosts = {
        urlsplit(url).hostname for url in re.findall(r"https?://[^\s'\"]+", " ".join([listing, *variables]))
    }
    return {host for host in hosts if host} - {"pypi.org", "files.pythonhosted.org", "localhost", "127.0.0.1"}


def test_no_tracked_file_names_a_path_or_an_index_host_of_this_machine() -> None:
    forbidden = {f"{ROOT}/", "/" + "work/", ".pyenv" + "/", "/tmp/" + "uv"} | configured_index_hosts()
    if Path.home() not in {Path("/"), Path("/root")}:
        forbidden.add(f"{Path.home()}/")
    found = [
        f"{path.relative_to(ROOT)}: {needle}"
        for path, text in texts()
        for needle in sorted(forbidden)
        if needle in text
    ]
    assert found == []


def test_no_tracked_file_holds_a_private_key_outside_the_vectors() -> None:
    marker = "-----BEGIN " + "[A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]{32}"
    found = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if "vectors" not in path.parts and re.search(marker, text)
    ]
    assert found == []


def test_every_text_file_ends_with_one_newline_and_has_no_carriage_returns() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if text
        and "vectors" not in path.parts
        and (not text.endswith("\n") or text.endswith("\n\n") or "\r" in text)
    ]
    assert found == []


# --- locks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_no_index_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(-|[a-z])(?!-hash=)", re.sub(r"--hash=", "", text), re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_hashes(name: str) -> None:
    # A line that does not continue ends a requirement; only a hash may end one.
    ends = [line for line in (ROOT / name).read_text().splitlines() if not line.endswith("\\")]
    assert ends
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in ends)


@pytest.mark.parametrize(("name", "extras"), list(zip(LOCKS, EXTRAS, strict=True)))
def test_a_lock_satisfies_what_the_project_asks_for(name: str, extras: tuple[str, ...]) -> None:
    pins = locked(name)
    unsatisfied = [
        str(requirement)
        for requirement in requirements(*extras)
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), Version("0")))
    ]
    assert unsatisfied == [], "run scripts/lock"


def test_each_lock_holds_the_packages_of_the_one_before_in_the_same_versions() -> None:
    for smaller, larger in pairwise(map(locked, LOCKS)):
        assert {package: larger.get(package) for package in smaller} == smaller


def test_a_node_without_a_token_does_not_install_the_library_of_tokens() -> None:
    assert "python-pkcs11" not in locked(LOCKS[0])


# --- scripts ---------------------------------------------------------------------------


def scripts() -> list[Path]:
    """Return the programs of the project."""
    return sorted(
        path
        for path in tracked_files()
        if path.parent.name in {"scripts", ".ci"} and not path.name.startswith("_")
    )


def test_every_script_can_be_run_and_parsed() -> None:
    for path in scripts():
        if path.suffix:
            continue
        assert os.access(path, os.X_OK), f"{path.name} is not executable"
        shebang = path.read_text().splitlines()[0]
        assert shebang in {"#!/usr/bin/env bash", "#!/usr/bin/env python3"}, path.name
        if shebang.endswith("bash"):
            subprocess.run(("bash", "-n", path), check=True)


def test_no_script_pipes_into_a_program_that_stops_reading_early() -> None:
    """With pipefail, whoever still writes then ends by SIGPIPE, and the script with it, once in many runs."""
    early = re.compile(r"\|\s*(?:head\b|(?:grep|sed)\s+-\w*[qm])")
    assert early.search("grep -E '^TOTAL' report | head -n 11")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if path.parent.name in {"scripts", ".ci"} and path.suffix in {"", ".sh"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if early.search(line)
    ]
    assert not found


def test_every_script_named_in_a_document_exists() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in documents()
        for name in sorted(
            set(re.findall(r"(?<![\w/.-])(?:scripts|\.ci)/[a-z_][a-z0-9_.-]*[a-z0-9]", document.read_text()))
        )
        if not (ROOT / name).is_file()
    ]
    assert missing == []


# --- documents -------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """Return the anchors that a renderer makes for the headings of a document."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def links(document: Path) -> Iterator[str]:
    """Yield the targets of a document's links, without those inside code."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    yield from re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", text)
    yield from re.findall(r"^\[[^\]]+\]: *(\S+)", text, re.MULTILINE)


def test_every_link_of_the_documents_resolves() -> None:
    broken: list[str] = []
    for document in documents():
        for link in links(document):
            if urlsplit(link).scheme:
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (document.parent / path).resolve() if path else document
            is_there = target.exists() and target.is_relative_to(ROOT)
            if not is_there or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")
    assert broken == []


def headings(document: Path) -> set[str]:
    """Return the headings of a document, without marks."""
    found = re.findall(r"^#+ +(.+)$", document.read_text(), re.MULTILINE)
    return {heading.replace("`", "") for heading in found}


def sections_named_in_code() -> Iterator[tuple[Path, Path, str]]:
    """Yield file, document and section wherever a docstring or a text of the program names a section."""
    named = re.compile(r'(docs/[\w/-]+\.md)((?:(?:,| and|, and) (?:"[^"]+"|“[^”]+”|« [^»]+ »))+)')
    for path in tracked_files():
        if path.suffix != ".py" or path.is_relative_to(ROOT / "tests"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name, quoted in named.findall(re.sub(r"\s+", " ", node.value)):
                    for section in re.findall(r'"([^"]+)"|“([^”]+)”|« ([^»]+) »', quoted):
                        yield path, ROOT / name, "".join(section)


def sections_named_in_documents() -> Iterator[tuple[Path, Path, str]]:
    """Yield document, document and section wherever a link is followed by a section in quotes."""
    for path in documents():
        named = r'\]\(([^)#\s]+\.md)\), (?:"([^"]+)"|« ([^»]+) »)'
        for link, english, french in re.findall(named, path.read_text()):
            yield path, (path.parent / link).resolve(), re.sub(r"\s+", " ", english or french)


def test_every_section_that_is_named_exists() -> None:
    named = [*sections_named_in_code(), *sections_named_in_documents()]
    assert len(named) > 100
    missing = [
        f"{path.relative_to(ROOT)}: {document.relative_to(ROOT)}, {section}"
        for path, document, section in named
        if not document.is_file() or section.rstrip(".,").replace("`", "") not in headings(document)
    ]
    assert missing == []


def test_the_index_of_decisions_lists_every_decision_once() -> None:
    folder = ROOT / "docs" / "adr"
    listed = [link for link in links(folder / "README.md") if re.match(r"\d{4}-", link)]
    records = sorted(path.name for path in folder.glob("[0-9][0-9][0-9][0-9]-*.md"))
    assert listed == records
    # Branches take their numbers beforehand, so one may be missing; none is used twice.
    assert len({name[:4] for name in records}) == len(records)


def test_the_changelog_puts_security_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    order = ["Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"]
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert releases
    assert releases[0].startswith("[Unreleased]")
    for release in releases:
        sections = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert sections == sorted(sections, key=order.index)


# --- package ---------------------------------------------------------------------------


def modules() -> list[str]:
    """Return the names of all modules of the package."""
    paths = sorted((ROOT / "gateway").rglob("*.py"))
    names = (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths
    )
    # Programs: the command itself, and what alembic runs inside a migration.
    return [name for name in names if name not in {"gateway.__main__", "gateway.storage.migrations.env"}]


def needs(graph: grimp.ImportGraph, module: str) -> set[str]:
    """Return what a module needs to have been imported: what it names, and the packages around that.

    Not the packages around the module itself: they are being imported already, and whether they name
    the module is an import of theirs.
    """
    imported = graph.find_modules_directly_imported_by(module)
    around = {
        ".".join(parts[:length])
        for parts in (name.split(".") for name in imported)
        for length in range(1, len(parts))
    }
    return imported | {package for package in around if not f"{module}.".startswith(f"{package}.")}


def test_every_module_imports_alone() -> None:
    """Whatever is imported first: no module needs what needs the module, not even inside a function."""
    graph = grimp.build_graph("gateway", exclude_type_checking_imports=True, cache_dir=None)
    assert graph.modules >= set(modules())
    sorter = graphlib.TopologicalSorter({module: needs(graph, module) for module in graph.modules})
    sorter.prepare()  # raises CycleError, which names the circle


def test_every_module_can_be_imported() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    subprocess.run((sys.executable, "-c", program, *modules()), cwd=ROOT, env=environment, check=True)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "gateway").rglob("*.py"))
        if not path.read_text().lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "gateway").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_wheel_carries_the_catalogue_and_type_information_and_nothing_else_of_the_tree(
    tmp_path: Path,
) -> None:
    # From a copy of what git would commit, so that nothing that only lies here can help.
    copy = tmp_path / "tree"
    for path in tracked_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path),
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    catalogue = (path for path in (copy / "schemas").rglob("*") if path.is_file())
    schemas = {f"gateway/_schemas/{path.relative_to(copy / 'schemas')}" for path in catalogue}
    assert schemas
    assert schemas <= names
    assert {"gateway/py.typed", "gateway/__init__.py", "gateway/__main__.py"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"gateway"}
