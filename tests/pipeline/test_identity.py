"""What decides the result of a stage."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from gristmill.pipeline.identity import signal_modules, stage_identity
from gristmill.stages.filter import Filter, Rule


class Listed(Filter):
    """A filter with a word list and two signals."""

    kind: ClassVar[str] = "listed"
    words: str
    least: float | None = 1
    repeated: float | None = None

    def rules(self) -> Iterator[Rule]:
        yield Rule("too_few_words", "word_count", at_least=self.least)
        yield Rule("repeated", "duplicate_line_fraction", at_most=self.repeated)

    def files(self) -> list[str]:
        return [self.words]


def test_a_checkpoint_decides_nothing_and_every_other_setting_does(tmp_path):
    path = tmp_path / "words"
    path.write_text("a")
    plain = stage_identity(Listed(words=str(path)))
    assert stage_identity(Listed(words=str(path), checkpoint=True)) == plain
    others = [{"least": 2}, {"evaluate": "all"}, {"name": "other"}]
    assert all(stage_identity(Listed(words=str(path), **other)) != plain for other in others)


def test_a_changed_file_is_another_stage_and_a_touched_one_is_not(tmp_path):
    path: Path = tmp_path / "words"
    path.write_text("a")
    plain = stage_identity(Listed(words=str(path)))
    os.utime(path, ns=(1, 1))
    assert stage_identity(Listed(words=str(path))) == plain
    path.write_text("b")
    assert stage_identity(Listed(words=str(path))) != plain


def test_only_signals_of_rules_that_are_on_count(tmp_path):
    assert signal_modules(Listed(words="")) == ["gristmill.stages.features", "gristmill.stages.signals.words"]
    assert "gristmill.stages.signals.repetition" in signal_modules(Listed(words="", repeated=0.3))
    assert signal_modules(Listed(words="", least=None)) == []
