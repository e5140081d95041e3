"""The two traps of folders that are mapped into the package, and what else the layout promises."""

import importlib.metadata
import importlib.resources
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_tokenizers_folder_is_no_package_of_its_own():
    assert not (ROOT / "tokenizers" / "__init__.py").exists()


def test_import_tokenizers_from_the_repository_root_is_the_library():
    code = "import tokenizers; print(tokenizers.__file__, tokenizers.Tokenizer.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    path, name = done.stdout.split()
    assert name == "Tokenizer"
    assert Path(path).parent != ROOT / "tokenizers"


def test_the_folder_is_there_under_the_name_of_the_package():
    import gristmill.tokenizers

    assert [Path(path).name for path in gristmill.tokenizers.__path__] == ["tokenizers"]


@pytest.mark.parametrize("kind", ["recipes", "models"])
def test_shipped_yaml_is_found_in_the_installed_package(kind):
    names = {entry.name for entry in (importlib.resources.files("gristmill.configs") / kind).iterdir()}
    in_the_folder = {path.name for path in (ROOT / "configs" / kind).glob("*.yaml")}
    assert in_the_folder
    assert in_the_folder <= names


def test_gristmill_is_a_namespace_package_with_a_version():
    import gristmill

    assert gristmill.__file__ is None
    assert importlib.metadata.version("gristmill") == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_every_folder_with_code_is_listed_as_a_package():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {
        f"gristmill.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for top in ("pipeline", "stages", "tokenizers", "trainer", "configs")
        for path in (ROOT / top).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert folders <= listed
