"""Corpus stages: those that must see all documents to judge one. The engine runs each as a step of its own."""

from gristmill.stages.stage import Stage


class CorpusStage(Stage):
    """Judges documents by the corpus that they stand in: one source's where a source names it, else all sources'."""

    @property
    def sees_corpus(self) -> bool:
        """Whether the settings at hand need the corpus; a stage that can do without is then one of those per document."""
        return True


def sees_corpus(stage: Stage) -> bool:
    """Whether a stage must see all documents to judge one."""
    return isinstance(stage, CorpusStage) and stage.sees_corpus
