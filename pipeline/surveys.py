"""A corpus filter as the driver sees it: survey each part, add up, judge each part by the sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gristmill.pipeline import survey_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.parts import Part
from gristmill.pipeline.passes import PassSettings
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.stage_tasks import Work, run_tasks
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.stages.corpus_filter import CorpusFilter

SUM_FAN_IN = 16
"""Surveys that one task adds up."""


class CorpusJudgement:
    """Runs one corpus filter over the parts of a run."""

    def __init__(self, runner: Runner, stage: CorpusFilter, parts: Sequence[Part]) -> None:
        """Prepare to judge the documents of `parts`."""
        self.runner, self.stage, self.parts = runner, stage, list(parts)
        self._base = {
            "stage": stage_identity(stage),
            "code": code_hash("gristmill.pipeline.survey_tasks"),
            "platform": platform_identity(),
        }
        self.totals: str | None = None
        """File with the sums, once `run` has made them."""
        self.findings: str | None = None
        """File with what the stage learned of the corpus, once `run` has made it; only of stages with a `findings_file`."""

    def run(self, settings: Callable[[str], PassSettings]) -> list[tuple[str, Manifest]]:
        """Survey and judge; `settings` gives those of a pass over a source.

        Returns:
            For each part the name of its step and what a pass over it records.
        """
        surveyed = self._tasks(
            survey_tasks.survey_part,
            [(part.identity(), {"stage": self.stage, "part": part}, part) for part in self.parts],
        )
        self.totals = self._summed([manifest["totals"]["file"] for _, manifest in surveyed])
        work = []
        for part, (_, manifest) in zip(self.parts, surveyed, strict=True):
            signals = manifest["signals"]["file"] if manifest["signals"] else None
            own = settings(part.source)
            text = own.ledger_text
            how = [text.mode, text.per_rule, text.seed, own.chunk_bytes, own.first_version]
            arguments = {"stage": self.stage, "part": part, "totals": self.totals, "signals": signals, "settings": own}
            work.append(([part.identity(), self.totals, signals, how], arguments, part))
        judged = self._tasks(survey_tasks.judge_part, work)
        if self.stage.findings_file:
            left = self._summed([manifest["left"]["file"] for _, manifest in judged])
            near = [manifest["highest"]["file"] for _, manifest in surveyed if manifest["highest"]]
            highest = self._brought_together(near, survey_tasks.join_highest, "highest")
            arguments = {"stage": self.stage, "totals": self.totals, "left": left, "highest": highest}
            ((_, found),) = self._tasks(survey_tasks.find_out, [([self.totals, left, highest], arguments, None)])
            self.findings = found["findings"]["file"]
        return judged

    def _summed(self, files: list[str]) -> str | None:
        """The file with the sums of surveys; None where there are none."""
        return self._brought_together(files, survey_tasks.sum_totals, "totals")

    def _brought_together(self, files: list[str], function: Callable[..., Manifest], name: str) -> str | None:
        """One file out of many by a function that takes some of them at a time, in any grouping; None where there are none."""
        done = False
        while files and not (done and len(files) == 1):
            groups = [files[start : start + SUM_FAN_IN] for start in range(0, len(files), SUM_FAN_IN)]
            made = self._tasks(function, [(group, {"files": group}, None) for group in groups])
            files, done = [manifest[name]["file"] for _, manifest in made], True
        return files[0] if files else None

    def _tasks(self, function: Callable[..., Manifest], work: Work) -> list[tuple[str, Manifest]]:
        return run_tasks(self.runner, self.stage.label, self._base, function, work)


def publish_findings(runner: Runner, findings: Mapping[str, Sequence[str]]) -> list[Manifest]:
    """Write what stages learned of the corpus as files of the run folder; by name the files with the findings of each stage."""
    base = {"code": code_hash("gristmill.pipeline.survey_tasks"), "platform": platform_identity()}
    tasks = [
        Task(
            step_key("gather_findings", name=name, files=list(files), **base),
            survey_tasks.gather_findings,
            {"name": name, "files": list(files)},
            name,
        )
        for name, files in sorted(findings.items())
    ]
    return runner.run("publish findings", tasks)
