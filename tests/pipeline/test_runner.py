"""Finished tasks are taken as they are, the others are carried out once and recorded."""

import pytest

from gristmill.pipeline.cluster import InProcess
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import StepStore, Task
from gristmill.pipeline.storage import Storage

CALLS: list[int] = []


def work_on(work: Storage, prefix: str, *, number: int) -> dict:
    CALLS.append(number)
    if number < 0:
        raise OSError("the disk is full")
    return {"files": [], "number": number}


def runner(folder, progress: Progress) -> Runner:
    work = Storage(str(folder))
    return Runner(InProcess(), work, StepStore(work), progress)


def tasks(*numbers: int) -> list[Task]:
    return [Task(f"key{number}", work_on, {"number": number}) for number in numbers]


def test_manifests_come_in_the_order_of_the_tasks_and_each_task_runs_once(tmp_path):
    CALLS.clear()
    with Progress(quiet=True) as progress:
        first = runner(tmp_path, progress)
        assert [one["number"] for one in first.run("step", tasks(2))] == [2]
        second = runner(tmp_path, progress)
        assert [one["number"] for one in second.run("step", tasks(1, 2, 3))] == [1, 2, 3]
        assert second.run("other", []) == []
    assert CALLS == [2, 1, 3]
    assert (second.computed, second.reused) == ({"step": 2}, {"step": 1})


def test_what_was_done_before_a_failure_is_kept(tmp_path):
    CALLS.clear()
    with Progress(quiet=True) as progress:
        with pytest.raises(Exception, match="the disk is full"):
            runner(tmp_path, progress).run("step", tasks(1, -1, 3))
        runner(tmp_path, progress).run("step", tasks(1, 3))
    assert CALLS == [1, -1, 3]
