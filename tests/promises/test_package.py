"""What is published on a package index: a wheel and an sdist, their page, and the versions that were tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.constraints import page as page_of
from support.world import GOLDEN, ROOT

README = ROOT / "README.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = ("recipes", "dataset_cards", "model_cards")
PAGES = ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "README.md", "LICENSE")
TOP = {*SHIPPED, *PAGES, "benchmarks", "docs", "longvpo", "tests", "Makefile", "constraints.txt", "pyproject.toml"}
PYTHONS = [python.rpartition(" ")[2] for python in PROJECT["classifiers"] if ":: Python ::" in python]


def built(root: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of a source tree."""
    pytest.importorskip("hatch_fancy_pypi_readme", reason="hatchling and its plugin make a wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=root, check=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def names_in(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        return sorted(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        return sorted(member.name.partition("/")[2] for member in tar if member.isfile())


def files_of(name: str) -> set[str]:
    paths = (ROOT / name).rglob("*")
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return built(ROOT, tmp_path_factory.mktemp("dist"))


def test_the_wheel_has_the_package_the_recipes_and_the_templates(archives: tuple[Path, Path]) -> None:
    found = {name for name in names_in(archives[0]) if ".dist-info/" not in name}
    shipped = {f"longvpo/shipped/{name}" for folder in SHIPPED for name in files_of(folder)}
    assert found == files_of("longvpo") | shipped


def test_the_sdist_makes_the_same_again_whatever_lies_beside_it(archives: tuple[Path, Path], tmp_path: Path) -> None:
    found = names_in(archives[1])
    assert {name.partition("/")[0] for name in found} == TOP | {".gitignore", "PKG-INFO"}
    with tarfile.open(archives[1]) as tar:
        tar.extractall(tmp_path, filter="data")
    root = next(tmp_path.iterdir())
    strays = [".venv/lib/a.py", ".venv-3.11/a.py", "my-results/a.json", "token.txt", "shared/a.md", "dist/a.whl"]
    for name in [*strays, "longvpo/__pycache__/a.pyc", "tests/.pytest_cache/a", "longvpo.egg-info/PKG-INFO"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not ours")
    wheel, sdist = built(root, tmp_path / "again")
    assert names_in(sdist) == found
    assert names_in(wheel) == names_in(archives[0])


def test_the_wheel_runs_where_no_checkout_is(archives: tuple[Path, Path], tmp_path: Path) -> None:
    zipfile.ZipFile(archives[0]).extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    shutil.copytree(GOLDEN / "dataset", tmp_path / "dataset")
    (tmp_path / "dataset" / "README.md").unlink()

    def longvpo(*arguments: str) -> str:
        where = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        command = [sys.executable, "-m", "longvpo", *arguments]
        return subprocess.run(
            command, cwd=tmp_path / "empty", env=where, check=True, capture_output=True, text=True
        ).stdout

    assert longvpo("--version") == f"longvpo {PROJECT['version']}\n"
    assert "longvpo-16k/dataset" in longvpo("recipes")
    longvpo("card", str(tmp_path / "dataset"))
    assert (tmp_path / "dataset" / "README.md").read_text().startswith("---\n")


def test_the_page_of_the_index_leads_to_nothing_that_is_not_there(archives: tuple[Path, Path]) -> None:
    wheel = zipfile.ZipFile(archives[0])
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = message_from_bytes(wheel.read(name)).get_payload(decode=True).decode()
    assert text.startswith("# longvpo\n")
    tokens, before = (MarkdownIt("commonmark").enable("table").parse(page) for page in (text, README.read_text()))
    programs, ours = ([one.content for one in page if one.type == "fence"] for page in (tokens, before))
    assert programs == ours
    every = [inner for token in tokens for inner in (token, *(token.children or []))]
    found = [str(token.attrs[key]) for token in every for key in ("href", "src") if key in token.attrs]
    raw = " ".join(token.content for token in every if token.type in ("html_block", "html_inline"))
    found += re.findall(r'\b(?:href|src|srcset)="([^"]*)"', raw)
    assert "https://arxiv.org/abs/2602.02341" in found
    assert [link for link in found if not link.startswith(("https://", "#"))] == []


def test_every_page_names_the_same_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert cited["version"] == PROJECT["version"]
    assert next(name for name in changes if name != "Unreleased") == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]


def test_constraints_fit_what_the_package_asks_for() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    assert [str(pin) for pin in pins if pin.url or [one.operator for one in pin.specifier] != ["=="]] == []
    needed = [Requirement(line) for line in PROJECT["dependencies"]]
    extras = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
    for python in PYTHONS:
        where = {**default_environment(), "python_version": python, "platform_machine": "x86_64"}
        here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(where)]
        versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in here}
        assert len(versions) == len(here), f"a package has two versions on Python {python}"
        assert [str(one) for one in needed if canonicalize_name(one.name) not in versions] == []
        for wanted in [*needed, *extras]:  # of the extras only what the tests install
            version = versions.get(canonicalize_name(wanted.name))
            assert version is None or wanted.specifier.contains(version), f"{wanted}: {version} on Python {python}"


def test_constraints_tell_two_pythons_apart_where_they_differ() -> None:
    before, after = {"av": "18.1.0", "torch": "2.14.1", "old": "1"}, {"av": "19.0.0", "torch": "2.14.1"}
    text = page_of("3.11", before, "3.13", after)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    both = ['av==18.1.0; python_version <= "3.11"', 'av==19.0.0; python_version > "3.11"']
    assert lines == [*both, "old==1", "torch==2.14.1"]


def test_a_bug_report_asks_for_the_command_and_for_the_machine() -> None:
    forms = ROOT / ".github" / "ISSUE_TEMPLATE"
    asked = {}
    for form in ("bug_report.yml", "feature_request.yml"):
        said = yaml.safe_load((forms / form).read_text())
        assert said["name"]
        assert said["description"]
        asked[form] = {part["id"]: part for part in said["body"] if part["type"] != "markdown"}
        assert all(part["attributes"]["label"] for part in asked[form].values())
    needed = {name for name, part in asked["bug_report.yml"].items() if part.get("validations", {}).get("required")}
    assert needed == {"command", "happened", "expected", "env"}
    assert "`longvpo env`" in asked["bug_report.yml"]["env"]["attributes"]["label"]
