"""Runs on object storage: a server of the S3 protocol on this machine, and everything on it."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.lock import NAME, RunLock
from gristmill.pipeline.storage import Storage, place

PUBLISHED = ("documents", "removed", "signals", "index", "shards", "funnel.json")

RECIPE = """
name: small
sources:
  web:
    read: {format: jsonl, paths: [in], id: column}
    stages:
      - gopher_quality: {min_words: 60, evaluate: all}
stages:
  - exact
  - minhash
tokenize: {train: {model: bpe, vocab_size: 300}}
partition_bytes: 150kB
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[object]:
    """An S3 client; the address and the keys are in the environment, for this process and for all it starts."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="crawl")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A recipe and its input."""
    folder = tmp_path_factory.mktemp("remote")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "in").mkdir()
    rng = random.Random(3)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(900)]
    for number in range(3):
        lines = []
        for one in range(150):
            text = " ".join(["the and of", *rng.choices(vocabulary, k=rng.randint(40, 200))])
            lines += [json.dumps({"id": f"{number}-{one}-{copy}", "text": text}) for copy in range(1 + (one % 10 == 0))]
        (folder / "in" / f"{number}.jsonl").write_text("\n".join(lines))
    return folder


def command(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run a recipe; returns what it tells."""
    result = subprocess.run(
        [str(Path(sys.executable).parent / "gristmill"), "run", "recipe.yaml", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == status, result.stderr
    return result.stderr


def hashes(storage: Storage) -> dict[str, str]:
    found = {}
    for name in PUBLISHED:
        for file in [name] if "." in name else storage.find(name):
            with storage.open(file) as content:
                found[file] = hashlib.sha256(content.read()).hexdigest()
    return found


@pytest.fixture(scope="module")
def expected(folder) -> dict[str, str]:
    """What a run on the local disk makes of it."""
    command(folder, "--output", "local", "--workers", "0")
    return hashes(Storage(str(folder / "local")))


def test_input_output_and_work_on_object_storage_give_the_same_bytes_and_are_reused(s3, folder, expected):
    for path in (folder / "in").iterdir():
        s3.upload_file(str(path), "crawl", f"in/{path.name}")
    run = ["--input", "s3://crawl/in", "--output", "s3://crawl/out"]
    command(folder, *run, "--workers", "2")
    storage = Storage("s3://crawl/out")
    assert hashes(storage) == expected
    assert not storage.exists(NAME)
    (documents, *_) = [name for name in storage.find("work/data") if name.endswith(".documents0.arrow")]
    storage.delete(documents)
    told = command(folder, *run, "--workers", "0")
    read = next(line for line in told.splitlines() if " read web" in line)
    assert "reused=" in read
    assert "reused=0" not in read
    assert hashes(storage) == expected


def test_only_the_work_on_object_storage_gives_the_same_bytes(s3, folder, expected):
    command(folder, "--output", "mixed", "--work", "s3://crawl/work-of-mixed", "--workers", "0")
    assert hashes(Storage(str(folder / "mixed"))) == expected
    assert not (folder / "mixed" / "work").exists()


def test_a_second_command_on_a_live_run_is_refused(s3, folder):
    Storage("s3://crawl/live").put("x", b"")
    with RunLock(Storage("s3://crawl/live")), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        RunLock(Storage("s3://crawl/live")).__enter__()
    assert not Storage("s3://crawl/live").exists(NAME)
    with RunLock(Storage("s3://crawl/taken")):
        told = command(folder, "--output", "s3://crawl/taken", "--workers", "0", status=2)
    assert "s3://crawl/taken: another command works on this run" in told
    assert "Traceback" not in told


def test_a_bucket_that_is_not_there_is_told_and_not_made(s3, folder):
    told = command(folder, "--output", "s3://crwal/out", "--workers", "0", status=2)
    assert "Traceback" not in told
    assert "crwal" in told
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["crawl"]


def test_objects_are_found_put_once_deleted_and_placed(s3, tmp_path):
    storage, local = Storage("s3://crawl/objects"), Storage(str(tmp_path))
    storage.put("a/one", b"1")
    storage.put("a/two", b"22")
    storage.put("ab", b"not in a")
    assert storage.find("a") == ["a/one", "a/two"]
    assert storage.size("a/two") == 2
    assert storage.put_new("new", b"first")
    assert not storage.put_new("new", b"second")
    place(storage, "a/one", storage, "b/one")
    place(storage, "a/one", local, "c/one")
    place(local, "c/one", storage, "d/one")
    assert [Storage(one.url).open(name).read() for one, name in ((storage, "b/one"), (local, "c/one"), (storage, "d/one"))] == [
        b"1"
    ] * 3
    storage.delete("a")
    storage.delete("a")
    assert storage.find() == ["ab", "b/one", "d/one", "new"]
    assert not storage.exists("a")


def test_a_file_of_several_parts_arrives_whole_and_is_read_by_range(s3):
    storage = Storage("s3://crawl/parts")
    block = random.Random(1).randbytes(1 << 20)
    with storage.create("big") as file:
        for _ in range(60):  # s3fs sends parts of 50 MB
            file.write(block)
    assert storage.size("big") == 60 << 20
    with storage.open("big") as file:
        file.seek(59 << 20)
        assert file.read() == block
        file.seek(17)
        assert file.read(100) == block[17:117]


def test_an_address_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    options = {"skip_instance_cache": True, "config_kwargs": {"retries": {"max_attempts": 0}}}
    with pytest.raises(UserError, match=r"s3://crawl/x: this storage cannot be used \(Could not connect"):
        Storage("s3://crawl/x", options).exists()
