"""The cache of compiled kernels follows the sources that decide what they compute, and no others."""

from gristmill.stages.numba_cache import cache_folder, kernel_sources


def write(folder, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, "utf-8")


def test_sources_are_the_kernels_and_what_they_import(tmp_path):
    write(
        tmp_path,
        kernels="from gristmill.stages.numba_cache import njit\nfrom gristmill.stages.helper import f\n",
        helper="from gristmill.stages import classes as c, more\n"
        "from gristmill.stages.constants import A\n"
        "if True:\n    from gristmill.stages.filters import B\n",
        classes="C = 1\n",
        more="D = 1\n",
        constants="A = 1\n",
        filters="B = 2\n",
        numba_cache="",
    )
    assert [path.stem for path in kernel_sources(tmp_path)] == [
        "classes",
        "constants",
        "helper",
        "kernels",
        "more",
        "numba_cache",
    ]


def test_a_change_in_a_source_changes_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, helper="A = 1\n")
    first = cache_folder([tmp_path / "helper.py"])
    assert first == cache_folder([tmp_path / "helper.py"])
    write(tmp_path, helper="A = 2\n")
    second = cache_folder([tmp_path / "helper.py"])
    assert first != second
    assert first.is_dir()
    assert second.is_relative_to(tmp_path / "cache")
