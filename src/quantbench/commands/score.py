"""`quantbench score`: a file of samples, scored in the sandbox."""

from rich.console import Console

from quantbench.output import Output
from quantbench.settings.commands import ScoreSettings


def score(settings: ScoreSettings, out: Output, err: Console) -> int:
    """Score a file of samples in the official evaluators' format, in the sandbox.

    Exit status: 0 when every line and problem was scored, 1 when some were left out, 2 when nothing was.

    Example: quantbench score samples.jsonl --task humaneval --task-data HumanEval.jsonl.gz
    """
    from quantbench.evaluation.results import document, print_scored
    from quantbench.evaluation.score import score_file

    scored = score_file(settings, err)
    out.give(
        document(scored, settings.results), lambda console: print_scored(scored, settings.results, console)
    )
    return scored.status
