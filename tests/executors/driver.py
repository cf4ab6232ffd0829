"""A run in a process of its own, whose one trial is a stand-in that measures nothing and takes its time.

The stand-in leaves a record, starts a program as a compiler would be, makes a temporary folder and sleeps.
Arguments: the results folder, and the seconds that the trial takes.
"""

import sys
from pathlib import Path

from rich.console import Console

from quantbench.api import execute
from quantbench.executors import local
from quantbench.executors.interruption import TrialInterrupted
from quantbench.plan import Plan
from quantbench.store import Store
from tests.builders import make_record, make_trial

STAND_IN = """
import json, pathlib, subprocess, sys, tempfile, time
job = json.loads(sys.stdin.readline())
pathlib.Path(job["record_file"]).write_text({record!r})
compiler = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
folder = tempfile.mkdtemp()
print(json.dumps(["compiling", compiler.pid, 0]), flush=True)
pathlib.Path(job["folder"], "started").write_text(f"{{compiler.pid}} {{folder}}")
time.sleep({seconds})
"""


def main() -> int:
    """The exit status of the run."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    trial = make_trial()
    record = make_record(trial).model_copy(update={"warnings": ("measured so far",)})
    script = STAND_IN.format(record=record.model_dump_json(), seconds=seconds)
    local.CHILD = [sys.executable, "-c", script]
    store = Store(folder)
    store.create()
    try:
        execute(Plan(trials=(trial,), baseline="fp16"), store, "a test", Console(stderr=True))
    except TrialInterrupted as interruption:
        return interruption.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
