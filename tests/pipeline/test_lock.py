"""One command at a time on a run folder, on disks and on object stores."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.lock import NAME, RunLock
from gristmill.pipeline.storage import Storage


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> Storage:
    url = str(tmp_path) if request.param == "local" else f"memory://locks-{os.urandom(4).hex()}"
    return Storage(url)


def test_a_second_command_is_refused_until_the_first_is_done(folder):
    with RunLock(folder):
        with pytest.raises(UserError, match=f"another command works on this run \\(process {os.getpid()} on"):
            RunLock(folder).__enter__()
        assert folder.exists(NAME)
    assert not folder.exists(NAME)
    with RunLock(folder):
        pass


def test_the_lock_goes_with_a_process_that_is_killed(tmp_path):
    code = "import sys, time; from gristmill.pipeline.lock import RunLock; from gristmill.pipeline.storage import Storage\n"
    code += "lock = RunLock(Storage(sys.argv[1])); lock.__enter__(); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"process {holder.pid} on"):
            RunLock(Storage(str(tmp_path))).__enter__()
        holder.kill()
    with RunLock(Storage(str(tmp_path))):
        pass


@pytest.fixture
def objects() -> Storage:
    return Storage(f"memory://locks-{os.urandom(4).hex()}")


def leave(objects: Storage, **facts: object) -> None:
    """What a command that was killed left there."""
    objects.put_json(NAME, {"host": "elsewhere", "pid": 1, "system": "of its own", "token": "x", "time": time.time()} | facts)


def test_an_object_that_beat_lately_counts(objects):
    leave(objects)
    with pytest.raises(UserError, match="process 1 on elsewhere"):
        RunLock(objects).__enter__()


def test_an_object_that_has_stopped_beating_counts_for_nothing(objects):
    leave(objects, time=time.time() - 61)
    with RunLock(objects, beat_seconds=0.05):
        assert objects.get_json(NAME)["pid"] == os.getpid()


def test_the_object_of_a_process_of_this_machine_that_is_gone_counts_for_nothing(objects):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with RunLock(objects):
        system = objects.get_json(NAME)["system"]
    leave(objects, pid=gone.pid, system=system)
    with RunLock(objects):
        assert objects.get_json(NAME)["pid"] == os.getpid()


def test_a_beating_object_of_a_machine_whose_clock_is_wrong_counts(objects):
    def beat() -> None:
        for number in range(200):
            leave(objects, time=time.time() - 3600 + number)
            if stop.wait(0.02):
                return

    stop = threading.Event()
    leave(objects, time=time.time() - 3600)
    other = threading.Thread(target=beat)
    other.start()
    try:
        with pytest.raises(UserError, match="process 1 on elsewhere"):
            RunLock(objects, beat_seconds=0.2).__enter__()
    finally:
        stop.set()
        other.join()


def test_the_object_beats_and_only_its_owner_takes_it_away(objects):
    with RunLock(objects, beat_seconds=0.05):
        first = objects.get_json(NAME)["time"]
        deadline = time.monotonic() + 10
        while objects.get_json(NAME)["time"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        leave(objects, token="another")
        time.sleep(0.2)
        assert objects.get_json(NAME)["token"] == "another"
    assert json.loads(objects.fs.cat(objects.path(NAME)))["token"] == "another"
