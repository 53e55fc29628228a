"""What is shipped: the wheel holds the whole package, asks for six libraries, and works where nothing else is."""

from __future__ import annotations

import configparser
import email
import email.message
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docs.blocks import Block, Reader, blocks

ROOT = Path(__file__).parents[1]

#: What is shipped: programs, and what they read beside them.
SHIPPED = ("*.py", "*.lua", "*.sql", "py.typed")
CORE = {"redis", "msgpack", "click", "croniter", "blinker", "tenacity"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it."""
    # From a copy: what earlier builds left in the tree must not get in.
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "taskforge", source / "taskforge", ignore=shutil.ignore_patterns("__pycache__"))
    run("-m", "build", "--outdir", str(dist), str(source))
    return dist


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


def run(*arguments: str) -> None:
    """Run this Python; show what it printed if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def tree() -> set[str]:
    """The files of the package as they lie here."""
    found = (path for pattern in SHIPPED for path in (ROOT / "taskforge").rglob(pattern))
    return {path.relative_to(ROOT).as_posix() for path in found}


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == tree()


def test_nothing_in_the_tree_is_forgotten() -> None:
    # A new kind of file is either listed here and in setup.cfg, or a stray.
    lying = {path for path in (ROOT / "taskforge").rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    assert {path.relative_to(ROOT).as_posix() for path in lying} == tree()


def test_the_sdist_holds_what_the_wheel_is_built_of(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}

    assert tree() | {"LICENSE", "README.md", "setup.cfg", "pyproject.toml"} <= packed


def test_the_packages_of_setup_cfg_are_the_folders() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()

    folders = {path.rpartition("/")[0].replace("/", ".") for path in tree()}

    assert listed == sorted(folders)


def test_the_wheel_asks_for_the_six_libraries_and_no_more(wheel: Path) -> None:
    required = [Requirement(each) for each in metadata(wheel).get_all("Requires-Dist", [])]

    assert {each.name for each in required if each.marker is None} == CORE
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == set(extras)


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert metadata(wheel).get_all("License-File") == ["LICENSE"]


def test_the_readmes_first_example_runs_where_only_the_wheel_is(wheel: Path, tmp_path: Path) -> None:
    program, commands = first_example()
    environment, work = tmp_path / "environment", tmp_path / "work"
    work.mkdir()
    venv.create(environment, symlinks=True)
    run("-m", "pip", "--python", str(environment), "install", "--quiet", str(wheel))

    with Reader(work, environment / "bin") as reader:
        reader.run(program)
        printed = reader.run(commands)

    assert "a.jpg" in printed


def first_example() -> tuple[Block, Block]:
    """The README's first file, and the commands that run it."""
    found = [block for block in blocks(ROOT / "README.md") if block.not_run is None]
    at = next(at for at, block in enumerate(found) if block.file)
    return found[at], next(block for block in found[at:] if block.language == "bash")
