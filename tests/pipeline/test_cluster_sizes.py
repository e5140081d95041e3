"""The sizes of clusters as the funnel and the report tell them."""

import json

from gristmill.pipeline.cluster_sizes import SizeClass, report_clusters, size_classes, told_clusters
from gristmill.pipeline.funnel import funnel, print_funnel
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run

SIZES = {"2": 5, "3": 1, "4": 2, "17": 1}


def test_classes_double_and_leave_no_gap():
    assert size_classes(SIZES) == [
        SizeClass(2, 2, 5, 10),
        SizeClass(3, 4, 3, 11),
        SizeClass(5, 8, 0, 0),
        SizeClass(9, 16, 0, 0),
        SizeClass(17, 32, 1, 17),
    ]
    assert [one.sizes for one in size_classes(SIZES)] == ["2", "3 to 4", "5 to 8", "9 to 16", "17 to 32"]


def test_no_clusters_have_no_classes():
    assert size_classes({}) == []
    assert report_clusters({"minhash": {}}) == []


def test_a_line_tells_the_clusters_of_a_stage():
    assert told_clusters({"minhash": SIZES}) == [
        "clusters of minhash: 9 of 38 documents, the largest of 17 (5 of 2, 3 of 3 to 4, 1 of 17 to 32)"
    ]


def test_a_run_tells_its_clusters_in_the_funnel_and_the_report(tmp_path, capsys):
    texts = ["same text here", "same text here", "Same text here!", "another one", "another one", "alone"]
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = {
        "name": "copies",
        "sources": {"web": {"read": {"format": "jsonl", "paths": [str(source)]}}},
        "stages": [{"exact": {"name": "copies"}}],
    }
    folder = run(recipe_from_resolved(recipe), output=tmp_path / "run", workers=0, quiet=True).folder
    assert funnel(folder)["clusters"] == {"copies": {"2": 1, "3": 1}}
    print_funnel(folder)
    assert "clusters of copies: 2 of 5 documents, the largest of 3 (1 of 2, 1 of 3 to 4)" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "2 clusters of 5 documents, the largest of 3" in page
