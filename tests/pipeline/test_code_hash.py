"""The hash of a step's code changes with every line that it reaches, and with no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.pipeline.code_hash import code_hash, library_versions, reachable

MODULES = {
    "mill_stage": "import mill_used\n\ndef work():\n    from mill_lazy import thing\n",
    "mill_used": "from mill_deep import value\n",
    "mill_deep": "value = 1\n",
    "mill_lazy": "thing = 1\n",
    "mill_typed": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mill_hint\nelse:\n    import mill_deep\n",
    "mill_hint": "",
    "mill_apart": "",
    "mill_package/__init__": "from . import inner\n",
    "mill_package/inner": "from .sub.leaf import value\nfrom .sub import other\n",
    "mill_package/sub/__init__": "",
    "mill_package/sub/leaf": "from ..top import value\n",
    "mill_package/sub/other": "",
    "mill_package/top": "value = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    for name, source in MODULES.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mill_")]:
        del sys.modules[name]


def test_imports_are_followed_also_inside_functions_and_to_modules_beside(folder):
    assert set(reachable(("mill_stage",))) == {"mill_stage", "mill_used", "mill_deep", "mill_lazy"}


def test_what_only_a_type_checker_sees_is_left_out(folder):
    assert set(reachable(("mill_typed",))) == {"mill_typed", "mill_deep"}


def test_relative_imports_are_followed(folder):
    inside = ("", ".inner", ".sub", ".sub.leaf", ".sub.other", ".top")
    assert set(reachable(("mill_package",))) == {f"mill_package{name}" for name in inside}


@pytest.mark.parametrize(
    ("changed", "same"), [("mill_stage", False), ("mill_deep", False), ("mill_lazy", False), ("mill_apart", True)]
)
def test_a_changed_line_changes_the_hash_of_what_reaches_it(folder, changed, same):
    before = code_hash("mill_stage")
    path = folder / f"{changed}.py"
    path.write_text(path.read_text() + "# one more line\n")
    assert (code_hash("mill_stage") == before) is same


def test_libraries_are_not_followed(folder):
    (folder / "mill_stage.py").write_text("import numpy\nimport json\nfrom pyarrow import compute\n")
    assert set(reachable(("mill_stage",))) == {"mill_stage"}


def test_a_users_stage_reaches_the_parts_of_the_package_that_it_imports(folder):
    (folder / "mill_stage.py").write_text("from gristmill.stages.filter import Filter\n")
    assert {"mill_stage", "gristmill.stages.filter", "gristmill.stages.stage"} <= set(reachable(("mill_stage",)))


def test_extraction_reaches_no_signal_and_no_feature():
    reached = reachable(("gristmill.pipeline.passes", "gristmill.stages.extract"))
    assert {"gristmill.pipeline.chain", "gristmill.stages.documents"} <= set(reached)
    assert not [name for name in reached if name.startswith(("gristmill.stages.features", "gristmill.stages.signals"))]


def test_the_hash_is_the_same_in_another_process(folder):
    command = "from gristmill.pipeline.code_hash import code_hash; print(code_hash('mill_stage', 'gristmill.stages.minhash'))"
    found = subprocess.run([sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert found.strip() == code_hash("mill_stage", "gristmill.stages.minhash")


def test_a_stage_in_a_script_is_hashed_by_the_script(folder):
    found = []
    for line in ("", "# one more line\n"):
        script = folder / "script.py"
        script.write_text(
            f"from gristmill.pipeline.code_hash import code_hash\nimport mill_used\nprint(code_hash('__main__'))\n{line}"
        )
        found.append(subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout)
        found.append(subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout)
    assert found[0] == found[1] != found[2] == found[3]


def test_code_without_a_source_is_never_taken_for_the_same_in_another_process(folder):
    command = [sys.executable, "-c", "from gristmill.pipeline.code_hash import code_hash; print(code_hash('__main__'))"]
    assert len({subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}) == 2


def test_a_library_that_is_not_installed_is_missing():
    assert library_versions(("no-such-distribution",)) == {"no-such-distribution": "missing"}
