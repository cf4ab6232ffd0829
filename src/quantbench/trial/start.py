"""Runs all stages of a trial. The only broad `except` of the product stands here.

Whatever a model, a kernel or a library raises becomes the record's failure, with its stage and its
traceback; what was measured before stays in the record.
"""

from collections.abc import Callable
from pathlib import Path

from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import Record
from quantbench.settings import IN_PROCESS
from quantbench.trial.run import Run, describe_failure, new_record
from quantbench.trial.served import measure_served
from quantbench.trial.stages import measure


def run_trial(
    trial: Trial,
    *,
    folder: Path,
    progress: Progress,
    checkpoint: Callable[[Record], None],
    command: str | None = None,
    import_s: float | None = None,
    name: str | None = None,
) -> Record:
    """Measure everything a trial asks for; never raises for what happens inside it, save Ctrl-C.

    `name` is that of its files of answers, by default its label.
    """
    record = new_record(trial, command)
    run = Run(
        trial=trial,
        name=name or trial.label,
        folder=folder,
        record=record,
        progress=progress,
        checkpoint=checkpoint,
    )
    try:
        if trial.load.engine in IN_PROCESS:
            measure(run, import_s)
        else:
            measure_served(run)
    except Exception as error:
        run.keep(failure=describe_failure(run.stage, error))
    run.enter("end")
    run.keep()
    return run.record
