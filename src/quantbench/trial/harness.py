"""The stage of a trial that asks lm-eval's tasks; it alone imports lm-eval."""

from typing import TYPE_CHECKING

from quantbench.decoding import Decoder, TellsMostLikely
from quantbench.evaluation.harness.loading import load_harness_task
from quantbench.evaluation.harness.model import HarnessModel
from quantbench.evaluation.harness.names import parse_name
from quantbench.evaluation.harness.run import evaluate_harness
from quantbench.evaluation.harness.text import read_harness_text
from quantbench.sources import ModelSource
from quantbench.store import Store
from quantbench.tasks import data_of
from quantbench.trial.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def keep_harness(run: Run, source: ModelSource, decoder: Decoder, tokenizer: "Tokenizer") -> None:
    """Evaluate each task, keep its figures and items, and write its samples."""
    if isinstance(decoder, TellsMostLikely):
        run.warn(f"tasks of lm-eval were not asked: {decoder.engine} hands out no logits")
        return
    asked, store = run.trial.evaluation, Store(run.folder)
    text = read_harness_text(source, tokenizer)
    batch = run.trial.generation.batch_size
    model = HarnessModel(decoder, text, batch_size=batch, progress=run.progress)
    for label in asked.harness_tasks:
        task = load_harness_task(parse_name(label), data_of(label, asked.task_data), asked.limit)
        result, rows = evaluate_harness(task, model, limit=asked.limit)
        name = label.replace(":", "-").replace("/", "-")
        file = store.write_lines(f"samples/{run.trial.label}-{name}-{run.trial.id[:8]}.jsonl", rows)
        run.keep(harness=(*run.record.harness, result.model_copy(update={"samples_file": file})))
