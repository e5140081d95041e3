"""Where tasks run: schedulers, workers and other processes come and go; the bytes stay the same and nothing is left behind."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from gristmill.pipeline import cluster
from gristmill.pipeline.cluster import DaskCluster
from gristmill.pipeline.errors import UserError

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")

BIN = Path(sys.executable).parent
PUBLISHED = ("documents", "removed", "signals", "index", "funnel.json")
FILES, PAGES = 8, 12

RECIPE = """
name: small
sources:
  web:
    read: {format: warc, paths: [crawl]}
    stages:
      - extract: {engine: resiliparse}
      - "odd_stages:Slow": {seconds: 0.25}
stages:
  - exact
  - minhash
"""

# stages of a user's own, in a module beside the recipe
ODD_STAGES = '''
import os
import time

from gristmill.stages.filter import Filter, Rule


class Slow(Filter):
    """Takes its time."""

    seconds: float = 0

    def rules(self):
        yield Rule("too_short", "word_count", at_least=1)

    def judge(self, batch):
        time.sleep(self.seconds)
        return super().judge(batch)


class Deadly(Slow):
    """Ends or exhausts the process that meets a page."""

    page: str = ""
    way: str = "exit"

    def judge(self, batch):
        if self.page in " ".join(batch.table["url"].to_pylist()):
            if self.way == "exit":
                os._exit(3)
            held = []
            while True:
                held.append(os.urandom(1 << 20) * 16)
                time.sleep(0.01)
        return super().judge(batch)


class Broken(Slow):
    """Has a mistake."""

    def judge(self, batch):
        raise ZeroDivisionError("of the stage's own")
'''


@dataclass
class Place:
    """A folder with a recipe, a crawl and a user's stages."""

    folder: Path

    def command(self, output: str | Path, *more: str, recipe: str = "recipe.yaml") -> list[str]:
        return [str(BIN / "gristmill"), "run", recipe, "--output", str(output), *more]

    @property
    def environment(self) -> dict[str, str]:
        before = os.environ.get("PYTHONPATH")
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder), *([before] if before else [])])}

    def start(self, command: list[str], **options) -> subprocess.Popen[str]:
        # a process group of its own that Ctrl-C reaches, as a shell makes it; a suite that runs in the background has it ignored
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, output: str | Path, *more: str, recipe: str = "recipe.yaml") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(output, *more, recipe=recipe),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


def page(rng: random.Random, url: str) -> bytes:
    words = " ".join("".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(200))
    body = f"<article><p>{words}</p><p>{words[::-1]}</p></article>"
    return f"<html><head><title>{url}</title></head><body>{body}</body></html>".encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "odd_stages.py").write_text(ODD_STAGES)
    (folder / "crawl").mkdir()
    rng = random.Random(7)
    for number in range(FILES):
        with (folder / "crawl" / f"{number}.warc.gz").open("wb") as file:
            writer = WARCWriter(file, gzip=True)
            for one in range(PAGES):
                url = f"http://pages.example/{number}/{one}"
                headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.0")
                writer.write_record(
                    writer.create_warc_record(
                        url,
                        "response",
                        payload=BytesIO(page(rng, url)),
                        http_headers=headers,
                        warc_headers_dict={"WARC-Date": "2024-01-01T00:00:00Z"},
                    )
                )
    return Place(folder)


def hashes(folder: Path) -> dict[str, str]:
    files = [file for name in PUBLISHED for file in ([folder / name] if "." in name else (folder / name).rglob("*"))]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files) if file.is_file()
    }


@pytest.fixture(scope="module")
def expected(place) -> dict[str, str]:
    """What one process makes of it."""
    result = place.run("expected", "--workers", "0")
    assert result.returncode == 0, result.stderr
    return hashes(place.folder / "expected")


def manifests(output: Path) -> set[Path]:
    return set((output / "work" / "steps").rglob("*.json"))


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def of_session(session: int) -> list[int]:
    """Processes of a session that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def scheduler(place) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A scheduler and two workers as a user starts them, in a folder of their own."""
    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir()
    file = elsewhere / "scheduler.json"
    quiet = {"cwd": elsewhere, "env": place.environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [
                str(BIN / "dask"),
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(file),
            ],
            **quiet,
        )
    ]
    try:
        wait_until(lambda: file.exists() and file.stat().st_size, 30, "the scheduler does not start")
        import json

        address = json.loads(file.read_text())["address"]
        started.append(
            subprocess.Popen(
                [str(BIN / "dask"), "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"],
                start_new_session=True,
                **quiet,
            )
        )
        yield address, started[1]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait(timeout=20)


def test_a_running_scheduler_gives_the_same_bytes_though_a_worker_is_killed(place, expected, scheduler):
    address, workers = scheduler
    # a relative folder: the workers were started in another one
    run = place.start(place.command("remote", "--scheduler", address))
    wait_until(lambda: len(manifests(place.folder / "remote")) >= 2 or run.poll() is not None, 60, "nothing is finished")
    victims = [pid for pid in of_session(workers.pid) if "spawn_main" in command_line(pid)]
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert hashes(place.folder / "remote") == expected
    assert not list((place.folder / "elsewhere").rglob("remote"))
    assert "Traceback" not in said


def test_workers_that_stay_are_refused_once_code_that_they_loaded_has_changed(place, scheduler):
    address, _ = scheduler
    before = (place.folder / "odd_stages.py").read_text()
    assert place.run("remote", "--scheduler", address).returncode == 0
    try:
        (place.folder / "odd_stages.py").write_text(before + "\n# changed\n")
        result = place.run("remote", "--scheduler", address)
    finally:
        (place.folder / "odd_stages.py").write_text(before)
    assert result.returncode == 2
    assert "odd_stages changed after it was started; start it again" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_where_nothing_listens_is_the_users_mistake(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)
    with pytest.raises(UserError, match=r"^--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there"):
        DaskCluster(scheduler="tcp://127.0.0.1:9")


def test_a_cluster_file_starts_its_cluster_and_nothing_but_steps_is_told(place, expected):
    (place.folder / "cluster.yaml").write_text("cluster: distributed:LocalCluster\nn_workers: 2\nthreads_per_worker: 1\n")
    result = place.run("from-file", "--cluster", "cluster.yaml")
    assert result.returncode == 0, result.stderr
    assert hashes(place.folder / "from-file") == expected
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("next: ")
    assert [line for line in lines[:-2] if not re.match(r"\d{4}-\d\d-\d\d [\d:]+ .* done ", line)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n_workers: 2", "cluster: missing; give module:Class, e.g. dask_jobqueue:SLURMCluster"),
        ("cluster: no_such_module:Cluster", "No module named 'no_such_module'"),
        ("cluster: distributed:NoCluster", "has no attribute 'NoCluster'"),
        ("cluster: distributed:LocalCluster\nn_wrokers: 2", "n_wrokers"),
        ("cluster: [", "not readable as YAML"),
    ],
)
def test_a_wrong_cluster_file_is_the_users_mistake(tmp_path, text, said):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        DaskCluster(cluster_file=str(path))
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_stopped_run_leaves_no_process_and_goes_on_where_it_stood(place, expected, number, status):
    output = f"stopped-{number.name}"
    run = place.start(place.command(output, "--workers", "2"))
    wait_until(
        lambda: (
            run.poll() is not None
            or (
                len(manifests(place.folder / output)) >= 3
                and any("extraction_worker" in command_line(pid) for pid in of_session(run.pid))
            )
        ),
        60,
        "the run does not begin",
    )
    assert run.poll() is None
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does
    else:
        run.send_signal(number)
    _, said = run.communicate(timeout=30)
    assert run.returncode == status, said
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == "stopped; give the same command again to go on from what is finished"
        assert "Traceback" not in said
    wait_until(lambda: not of_session(run.pid), 10, f"still there: {[command_line(pid) for pid in of_session(run.pid)]}")
    if number != signal.SIGINT:
        return  # going on is the same for all, and test_laws.py holds it for SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in manifests(place.folder / output)}
    result = place.run(output, "--workers", "0")
    assert result.returncode == 0, result.stderr
    assert hashes(place.folder / output) == expected
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.parametrize("way", ["exit", "memory"])
def test_a_task_that_kills_its_worker_each_time_ends_the_run_by_name_and_costs_no_other(place, way):
    stage = f'      - "odd_stages:Deadly": {{page: /3/5, way: {way}}}'
    text = RECIPE.replace('      - "odd_stages:Slow": {seconds: 0.25}', stage)
    (place.folder / f"{way}.yaml").write_text(text)
    (place.folder / "little.yaml").write_text(
        "cluster: distributed:LocalCluster\nn_workers: 2\nthreads_per_worker: 1\nmemory_limit: 900MB\n"
    )
    result = place.run(f"deadly-{way}", "--cluster", "little.yaml", recipe=f"{way}.yaml")
    assert result.returncode == 1
    assert re.search(r"\bweb(/3\.warc\.gz|: \S+): the worker died each time, also with nothing beside it", result.stderr)
    # all read and extracted, all but one taken through the stage
    finished = [path.read_text() for path in manifests(place.folder / f"deadly-{way}")]
    assert len([text for text in finished if '"counts"' in text]) == FILES + FILES - 1
    assert "distributed." not in result.stderr.split("Traceback")[0]


def test_a_stage_with_a_mistake_ends_the_run_with_the_partition_named(place):
    (place.folder / "broken.yaml").write_text(RECIPE.replace("odd_stages:Slow", "odd_stages:Broken"))
    result = place.run("broken", "--workers", "1", recipe="broken.yaml")
    assert result.returncode in (1, 2)
    assert "of the stage's own" in result.stderr
