"""One trial from start to Record: bandwidth -> load -> speed and memory -> size -> tasks -> distance."""

from quantbench.trial.run import Run, describe_failure, new_record
from quantbench.trial.start import run_trial

__all__ = ["Run", "describe_failure", "new_record", "run_trial"]
