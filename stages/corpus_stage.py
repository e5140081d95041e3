"""Corpus stages: those that must see all documents to judge one. The engine runs each as a step of its own."""

from gristmill.stages.stage import Stage


class CorpusStage(Stage):
    """Judges documents by the corpus that they stand in: one source's where a source names it, else all sources'."""
