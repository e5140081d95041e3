"""Opt-outs from the headers and pages of a crawl, and what editors cut, through whole runs."""

import json

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run

PROSE = "The miller listens to the sound of the stones, feels the meal between thumb and finger, and sets the gap by it. "


def record(number: int, page: str, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/html; charset=utf-8", *headers, "", page]
    block = "\r\n".join(lines).encode()
    head = [
        *(
            "WARC/1.0",
            "WARC-Type: response",
            f"WARC-Record-ID: <urn:uuid:{number}>",
            f"WARC-Target-URI: http://mill.example/{number}",
        ),
        *("WARC-Date: 2024-01-02T03:04:05Z", f"Content-Length: {len(block)}", "", ""),
    ]
    return "\r\n".join(head).encode() + block + b"\r\n\r\n"


def page(head: str = "", foot: str = "") -> str:
    body = f"<article><p>{PROSE * 4}</p>{foot}</article>"
    return f"<!DOCTYPE html><html><head><title>Mills</title>{head}</head><body>{body}</body></html>"


def recipe(path, read: str, *stages: dict) -> dict:
    sources = {"web": {"read": {"format": read, "paths": [str(path)]}, "stages": list(stages)}}
    return {"name": "r", "sources": sources, "output": {"edits": True}}


def test_what_headers_and_pages_say_decides_and_is_published(tmp_path):
    by = "https://creativecommons.org/licenses/by/4.0/"
    (tmp_path / "a.warc").write_bytes(
        record(1, page(), "X-Robots-Tag: googlebot: noindex", "X-Robots-Tag: noai")
        + record(2, page(), "TDM-Reservation: 1", "TDM-Policy: https://mill.example/p")
        + record(3, page('<meta name="robots" content="noai">'))
        + record(4, page(), f'Link: <{by}>; rel="license"')
        + record(5, page(foot=f'<p><a rel="license" href="{by}">CC BY</a> {PROSE}</p>'))
        + record(6, page())
    )
    run(
        recipe_from_resolved(recipe(tmp_path / "a.warc", "warc", {"opt_out": {}}, {"extract": {}})),
        output=tmp_path / "out",
        workers=0,
    )
    removed = pq.read_table(tmp_path / "out" / "removed").to_pylist()
    assert [(row["id"], row["stage"], row["rule"], row["detail"]) for row in removed] == [
        ("urn:uuid:1", "opt_out", "noai", "X-Robots-Tag"),
        ("urn:uuid:2", "opt_out", "tdm_reservation", "TDM-Reservation"),
        ("urn:uuid:3", "opt_out", "noai", "meta robots"),
    ]
    metas = [json.loads(meta) for meta in pq.read_table(tmp_path / "out" / "documents")["meta"].to_pylist()]
    assert [meta.get("license") for meta in metas] == ["cc-by-4.0", "cc-by-4.0", None]


def test_opt_out_stands_before_extraction(tmp_path):
    with pytest.raises(UserError, match="opt_out reads pages, and the pages are text by then; put it before extract"):
        recipe_from_resolved(recipe("a.warc", "warc", {"extract": {}}, {"opt_out": {}}))
    recipe_from_resolved(recipe("a.jsonl", "jsonl", {"opt_out": {}}))


def test_what_editors_cut_is_published_with_its_place(tmp_path):
    texts = ["Write to ann@x.org.\nSame line here.\nSame line here.", "itâ€™s fine", "plain"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    stages = [{"normalise": {}}, {"repeated_lines": {}}, {"pii": {"mode": "remove"}}]
    run(recipe_from_resolved(recipe(tmp_path / "a.jsonl", "jsonl", *stages)), output=tmp_path / "out", workers=0)
    documents = pq.read_table(tmp_path / "out" / "documents")["text"].to_pylist()
    assert documents == ["Write to .\nSame line here.", "it’s fine", "plain"]
    edits = pq.read_table(tmp_path / "out" / "edits").to_pylist()
    assert sorted((row["id"].endswith("#0"), row["stage"], row["start"], row["end"], row["text"]) for row in edits) == [
        (False, "normalise", 2, 5, "â€™"),
        (True, "pii", 9, 18, "ann@x.org"),
        (True, "repeated_lines", 35, 51, "\nSame line here."),
    ]
