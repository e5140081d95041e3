"""Folders on disks and in memory: whole or not at all, the same for every worker, also when a disk is full."""

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.storage import Storage, place


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "folder"))
    return Storage(f"memory://storage-{os.urandom(4).hex()}/folder")


def test_what_is_written_is_found_read_and_deleted(storage):
    storage.put("a/one.bin", b"1")
    storage.put("a/b/two.bin", b"22")
    with storage.create("three.bin") as file:
        file.write(b"333")
    assert storage.find() == ["a/b/two.bin", "a/one.bin", "three.bin"]
    assert storage.find("a") == ["a/b/two.bin", "a/one.bin"]
    assert [storage.size(name) for name in ("a/one.bin", "a/b/two.bin", "three.bin", "four.bin")] == [1, 2, 3, None]
    with storage.open("three.bin") as file:
        assert file.read() == b"333"
    storage.delete("a")
    storage.delete("nothing")
    assert storage.find() == ["three.bin"]
    assert not storage.exists("a")
    assert storage.find("a") == []


def test_json_comes_back_with_its_order(storage):
    storage.put_json("facts.json", {"z": 1, "a": "ä"})
    assert list(storage.get_json("facts.json").items()) == [("z", 1), ("a", "ä")]


def test_a_file_is_put_once_where_it_must_be_new(storage):
    assert storage.put_new("lock", b"first")
    assert not storage.put_new("lock", b"second")
    with storage.open("lock") as file:
        assert file.read() == b"first"


def test_placing_replaces_what_was_there(storage, tmp_path):
    other = Storage(str(tmp_path / "other"))
    for number, text in enumerate((b"old", b"new")):
        storage.put(f"work/{number}", text)
        for target in (storage, other):
            place(storage, f"work/{number}", target, "deep/final")
    for target in (storage, other):
        with target.open("deep/final") as file:
            assert file.read() == b"new"
    with storage.open("work/0") as file:
        assert file.read() == b"old"


def test_a_relative_folder_is_the_same_for_a_worker_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = Storage("out/run")
    pickled = pickle.dumps(storage)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(pickled).path("x") == str(tmp_path / "out/run/x")


@pytest.mark.parametrize("url", ["s3://bucket/folder"])
def test_storage_that_does_not_let_us_in_is_the_users_mistake(url, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match=f"^{url}: this storage cannot be used .*credentials"):
        Storage(url, {"skip_instance_cache": True}).exists()


@pytest.fixture
def little_disk(tmp_path):
    """A disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_for_which_the_disk_has_no_room_leaves_what_was_there(little_disk):
    storage = Storage(str(little_disk))
    storage.put("facts", b"old")
    with pytest.raises(OSError, match="No space") as raised:
        storage.put("facts", os.urandom(7 << 20))
    assert raised.value.errno == errno.ENOSPC
    assert storage.find() == ["facts"]
    with storage.open("facts") as file:
        assert file.read() == b"old"


RECIPE = """
name: small
sources:
  web: {read: {format: jsonl, paths: [in.jsonl]}, stages: [gopher_quality: {min_words: 3}]}
stages: [exact]
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_full_disk_ends_the_run_with_one_message_and_the_last_outcome_stays(little_disk, tmp_path, workers):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    # about 14 MB in which there is little to compress
    texts = (f"{number} " + " ".join(os.urandom(3).hex() for _ in range(200)) for number in range(10_000))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run = [str(Path(sys.executable).parent / "gristmill"), "run", "recipe.yaml", "--output", str(little_disk / "run")]

    def command(workers: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*run, "--workers", workers, *more], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    first = command("0", "--limit", "50")
    assert first.returncode == 0, first.stderr
    published = [path for path in (little_disk / "run").rglob("*") if path.is_file() and "work" not in path.parts]
    before = {path: path.read_bytes() for path in published}
    assert any("documents" in path.parts for path in published)
    second = command(workers)
    assert second.returncode == 2, second.stderr
    told = [line for line in second.stderr.splitlines() if not line.startswith("20")]
    assert len(told) == 1
    assert "no space left on device" in told[0]
    assert {path: path.read_bytes() for path in published} == before
