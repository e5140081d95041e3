"""Plans as files, and streams of chosen documents."""

import numpy as np
import pytest

from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.mixture_plan import MixturePlan, SelectedStream, open_mixture, read_plan


class Base:
    name, dtype = "web", np.dtype("uint16")

    def read(self, start, stop):
        return np.arange(start, stop, dtype=self.dtype)


def source(name, tokens, **more):
    given = {"weight": 1, "available_tokens": tokens, "epochs": 1, "effective_bytes": None, "unique_share": 1, "documents": None}
    return {"source": name, "tokens": tokens, **given, "bytes": None, "counted": "estimated", "max_epochs": 4, **more}


PLAN = {
    "mixture": "a",
    "tokens": 10,
    "sources": [source("web", 10)],
    "phases": [{"name": "all", "start": 0, "tokens": 10, "sources": {"web": 10}}],
}


def test_chosen_documents_read_as_one_stream():
    chosen = SelectedStream(Base(), np.array([[2, 5], [9, 10], [20, 24]]))
    whole = [2, 3, 4, 9, 20, 21, 22, 23]
    assert len(chosen) == 8
    assert [chosen.read(a, b).tolist() for a in range(9) for b in range(a, 9)] == [
        whole[a:b] for a in range(9) for b in range(a, 9)
    ]
    with pytest.raises(IndexError, match="tokens 3 to 9 of web, of which 8 are chosen"):
        chosen.read(3, 9)


def test_chosen_documents_end_where_they_do_end_to_end():
    class Documents(Base):
        def document_ends(self, start, stop):
            return np.array([end for end in (2, 4, 5, 9, 10, 20, 21, 24) if start < end < stop], dtype=np.int64)

    # documents of 2, 1, 1, 1 and 3 tokens
    chosen = SelectedStream(Documents(), np.array([[2, 5], [9, 10], [20, 24]]))
    ends = [2, 3, 4, 5, 8]
    for a in range(9):
        for b in range(a, 9):
            assert chosen.document_ends(a, b).tolist() == [end for end in ends if a < end < b]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokens": 11}, "the phases hold 10 tokens, the plan says 11"),
        ({"sources": [source("web", 9)]}, "source web: its tokens do not add up"),
        ({"sources": [source("web", 10), source("web", 10)]}, "a source stands twice"),
        ({"format_version": 2}, "format_version: Input should be 1"),
        ({"extra": 2}, "extra: Extra inputs are not permitted"),
    ],
)
def test_a_plan_whose_numbers_contradict_each_other_is_refused(tmp_path, change, told):
    import json

    MixturePlan.model_validate(PLAN)
    (tmp_path / "p.json").write_text(json.dumps(PLAN | change))
    with pytest.raises(ShardError, match=told):
        read_plan(tmp_path / "p.json")


def test_what_is_no_plan_is_refused(tmp_path):
    (tmp_path / "p.json").write_text("no")
    with pytest.raises(ShardError, match="is no plan of a mixture"):
        open_mixture(tmp_path / "p.json")
    with pytest.raises(FileNotFoundError):
        open_mixture(tmp_path / "q.json")
