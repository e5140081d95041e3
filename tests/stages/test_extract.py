import gzip
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages import extraction_process
from gristmill.stages.documents import DOCUMENTS, WITH_HTML, Batch
from gristmill.stages.editor import Loss
from gristmill.stages.extract import Extract, close_processes
from gristmill.stages.extraction_process import ExtractionProcess, Page
from gristmill.stages.stage import StageUnavailable

PROSE = "The miller listens to the sound of the stones, feels the meal between thumb and finger, and sets the gap by it. "
PAGE = f"<!DOCTYPE html><html><head><title>Mills</title></head><body><article><p>{PROSE * 4}</p></article></body></html>"

ENGINE = """
import ctypes, os, pathlib, sys, time

FLAG = pathlib.Path(__file__).with_suffix(".flag")

def extract(html):
    print("chatter on standard output")
    if "segfault" in html:
        ctypes.string_at(0)
    if "spin" in html:
        while True:
            pass
    if "hoard" in html:
        len([bytes(10_000_000) for _ in range(1000)])
    if "raise" in html:
        raise KeyError(html)
    if "exit" in html:
        os._exit(3)
    if "once" in html and not FLAG.exists():
        FLAG.touch()
        os.kill(os.getpid(), 9)
    if "slow" in html:
        time.sleep(0.05)
    if "blank" in html:
        return " \\0\\n"
    if "none" in html:
        return None
    return html.upper()

def number(html):
    return 7
"""


@pytest.fixture(autouse=True)
def _end_children():
    yield
    close_processes()


@pytest.fixture
def own_engine(tmp_path, monkeypatch, request):
    """An engine of the user's own that misbehaves on demand."""
    module = f"engine_{request.node.name.partition('[')[0]}"
    (tmp_path / f"{module}.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{module}:extract"


def batch(*htmls, content_type="text/html; charset=utf-8"):
    rows = [
        {
            "id": str(row),
            "text": "",
            "source": "web",
            "file": "a.warc",
            "position": row,
            "content_type": content_type,
            "html": html.encode() if isinstance(html, str) else html,
        }
        for row, html in enumerate(htmls)
    ]
    return Batch(pa.Table.from_pylist(rows, schema=WITH_HTML))


def texts(edited):
    return edited.table["text"].to_pylist()


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse", "justext"])
def test_each_engine_gets_the_prose_and_a_page_without_any_is_a_loss(engine):
    edited = Extract(engine=engine).edit(batch(PAGE, "<html><body></body></html>", PAGE))
    assert [text.replace("\n", " ") for text in texts(edited)] == [(PROSE * 4).strip(), "", (PROSE * 4).strip()]
    assert edited.losses == [Loss(1, "no_text")]
    assert edited.table.schema == DOCUMENTS


def test_plain_text_is_decoded_and_not_parsed():
    edited = Extract().edit(batch(b"one\r\n<two> &amp;\0 three\n", content_type="text/plain; charset=utf-8"))
    assert texts(edited) == ["one\n<two> &amp; three"]


def test_a_page_is_decoded_by_its_charset():
    page = PAGE.replace("miller", "Müller").encode("cp1252")
    assert "The Müller listens" in texts(Extract().edit(batch(page, content_type="text/html; charset=windows-1252")))[0]


def test_rows_without_html_keep_their_text():
    table = batch(None, None).table.set_column(1, WITH_HTML.field("text"), pa.array(["kept", ""], pa.large_string()))
    edited = Extract().edit(Batch(table))
    assert texts(edited) == ["kept", ""]
    assert edited.losses == [Loss(1, "no_text")]


def test_pages_beyond_the_limits_are_not_parsed_and_those_at_the_limits_are(own_engine):
    extract = Extract(engine=own_engine, max_html_bytes=40, max_elements=3, max_depth=2)
    pages = ["<b><i>" + "x" * 34, "<b><i>" + "x" * 35, "<p><p><p>", "<p><p><p><p>", "<b><i></i></b>", "<b><i><u></u>"]
    edited = extract.edit(batch(*pages))
    assert edited.losses == [
        Loss(1, "too_many_bytes", 41.0, 40.0),
        Loss(3, "too_many_elements", 4.0, 3.0),
        Loss(5, "too_deep", 3.0, 2.0),
    ]
    assert texts(edited) == [pages[0].upper(), "", pages[2].upper(), "", pages[4].upper(), ""]


def test_a_page_that_hurts_the_parser_is_lost_alone_and_with_its_reason(own_engine):
    extract = Extract(engine=own_engine, cpu_seconds=0.3, max_memory=1_000_000_000)
    edited = extract.edit(batch("a", "segfault", "b", "spin", "c", "hoard", "raise", "d", "exit", "blank", "none", "e"))
    assert texts(edited) == ["A", "", "B", "", "C", "", "", "D", "", "", "", "E"]
    assert edited.losses == [
        Loss(1, "parser_crashed", detail="SIGSEGV"),
        Loss(3, "too_much_time", 0.3, 0.3),
        Loss(5, "parser_crashed", detail="MemoryError"),
        Loss(6, "parser_error", detail="KeyError"),
        Loss(8, "parser_crashed", detail="exit status 3"),
        Loss(9, "no_text"),
        Loss(10, "no_text"),
    ]


def test_the_limit_on_time_is_one_on_each_page(own_engine):
    edited = Extract(engine=own_engine, cpu_seconds=0.3).edit(batch(*["slow"] * 12))  # sleeping takes no processor time either
    assert texts(edited) == ["SLOW"] * 12


def test_a_page_during_which_the_parser_died_by_accident_is_tried_again(own_engine):
    edited = Extract(engine=own_engine).edit(batch("a", "once", "b"))
    assert texts(edited) == ["A", "ONCE", "B"]
    assert edited.losses == []


def test_killing_the_child_at_work_changes_nothing(own_engine):
    extract = Extract(engine=own_engine)
    extract.set_up()
    process = extract._process()
    killed = set()
    done = threading.Event()

    def kill_now_and_then():
        while not done.wait(0.15) and len(killed) < 4:
            pid = process.pid
            if pid is not None and process._served:  # a page that dies alone, twice, would be blamed with reason
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    edited = extract.edit(batch(*[f"slow {row}" for row in range(30)]))
    done.set()
    killer.join()
    assert killed
    assert texts(edited) == [f"SLOW {row}" for row in range(30)]
    assert edited.losses == []


def test_every_page_crashing_is_every_page_lost(own_engine):
    edited = Extract(engine=own_engine).edit(batch(*["segfault"] * 4))
    assert edited.losses == [Loss(row, "parser_crashed", detail="SIGSEGV") for row in range(4)]


def test_pages_and_texts_larger_than_the_pipes_pass(own_engine):
    pages = [str(row) * 3_000_000 for row in range(6)]
    assert texts(Extract(engine=own_engine).edit(batch(*pages))) == pages


def test_a_child_is_replaced_after_a_number_of_pages_without_a_trace(own_engine, monkeypatch):
    monkeypatch.setattr(extraction_process, "PAGES_PER_CHILD", 3)
    extract = Extract(engine=own_engine)
    pids = set()
    for start in (0, 7):
        pages = [f"p{row}" for row in range(start, start + 7)]
        assert texts(extract.edit(batch(*pages))) == [page.upper() for page in pages]
        pids.add(extract._process().pid)
    assert len(pids) == 2


def test_an_empty_batch_is_no_work(own_engine):
    edited = Extract(engine=own_engine).edit(batch())
    assert (edited.table.num_rows, edited.losses) == (0, [])


def test_an_error_in_reading_the_pages_is_the_callers(own_engine):
    def pages():
        yield Page(0, b"a")
        raise RuntimeError("the table is broken")

    process = ExtractionProcess(own_engine, {}, 10, 1_000_000_000)
    with pytest.raises(RuntimeError, match="the table is broken"):
        list(process.extract(pages()))
    assert [answer.text for answer in process.extract([Page(0, b"b")])] == ["B"]
    process.close()


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_a_text_does_not_depend_on_the_pages_around_it(engine, shared_data):
    with gzip.open(shared_data / "web" / "wcxb-dev-00000.warc.gz") as file:
        records = file.read(6_000_000).split(b"WARC/1.0\r\n")[2:14]
    pages = [record.split(b"\r\n\r\n", 2)[2] for record in records]
    extract = Extract(engine=engine)
    together = texts(extract.edit(batch(*pages)))
    reversed_twice = texts(extract.edit(batch(*(pages + pages)[::-1])))
    close_processes()
    alone = [texts(extract.edit(batch(page)))[0] for page in pages]
    assert together == alone == reversed_twice[::-1][:12] == reversed_twice[::-1][12:]
    assert sum(map(bool, together)) >= 10


def test_a_missing_engine_stops_the_run_and_loses_no_page(own_engine):
    for engine in ("no_such_module_anywhere:extract", own_engine.replace(":extract", ":no_such_function")):
        extract = Extract(engine=engine)
        with pytest.raises(StageUnavailable, match="no_such"):
            extract.set_up()
        with pytest.raises(StageUnavailable, match="no_such"):
            extract.edit(batch(PAGE, PAGE))


def test_a_library_that_cannot_be_imported_stops_the_run(tmp_path, monkeypatch):
    (tmp_path / "trafilatura.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StageUnavailable, match=r"No module named 'no_such_library'.*pip install trafilatura"):
        Extract().set_up()


def test_an_engine_that_does_not_return_text_stops_the_run(own_engine):
    with pytest.raises(StageUnavailable, match="returned int"):
        Extract(engine=own_engine.replace(":extract", ":number")).set_up()


def test_an_engine_that_kills_its_process_when_imported_stops_the_run(tmp_path, monkeypatch):
    (tmp_path / "deadly_engine.py").write_text("import os, sys\nprint('no luck', file=sys.stderr, flush=True)\nos._exit(9)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StageUnavailable, match="exit status 9: no luck"):
        Extract(engine="deadly_engine:extract").set_up()


def test_the_child_is_in_the_process_group_of_its_parent(own_engine):
    extract = Extract(engine=own_engine)
    extract.set_up()
    assert os.getpgid(extract._process().pid) == os.getpgrp()


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_the_child_dies_with_its_parent_even_at_work(own_engine, tmp_path):
    script = f"""
import os, threading, time
from gristmill.stages.extraction_process import ExtractionProcess, Page
process = ExtractionProcess({own_engine!r}, {{}}, 100, 1_000_000_000)
process.start()
print(process.pid, flush=True)
list(process.extract([Page(0, b"spin")]))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    for _ in range(100):
        try:
            with open(f"/proc/{child}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":  # dead, its new parent has not looked yet
                    break
        except FileNotFoundError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child outlived its parent")


def test_the_users_own_engine_counts_as_code_of_the_stage():
    assert "my_module" in Extract(engine="my_module:extract").code()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "readability"}, "engine"),
        ({"engine": "justext", "tables": False}, "tables: the engine justext has no such option; it takes stop_words"),
        ({"engine": "resiliparse", "fast": True}, "fast: the engine resiliparse has no such option"),
        ({"stop_words": "English"}, "stop_words: the engine trafilatura has no such option"),
        ({"max_depth": 0}, "max_depth"),
        ({"cpu_seconds": 0}, "cpu_seconds"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Extract(**wrong)
