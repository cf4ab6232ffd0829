"""The command line: turns options into settings, calls one function, prints what comes back.

Heavy imports stand inside the commands, so that `--help` answers at once.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.exceptions import Abort, TyperException

import quantbench
from quantbench.errors import QuantbenchError, unusable
from quantbench.option_texts import describe, text_of
from quantbench.output import Output

OUT = Console()
ERR = Console(stderr=True)
INTERRUPTED = {128 + number for number in (1, 2, 15)}  # SIGHUP, SIGINT, SIGTERM, as shells report them
STOPPED = "stopped; what was measured is kept, the same command goes on from there"


def dashes(token: str) -> str:
    """Options may be written with `_` or `-`."""
    return token.replace("_", "-")


SETTINGS: dict[str, Any] = {
    "token_normalize_func": dashes,
    "help_option_names": ["-h", "--help"],
    "max_content_width": 120,
}
app = typer.Typer(
    name="quantbench",
    help="What quantizing a language model buys and what it costs, measured on your machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2, Ctrl-C in 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    refuse_empty(sys.argv[1:])
    try:
        status = app(standalone_mode=False) or 0
    except QuantbenchError as error:
        fail(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        if error.errno is None:  # raised by a program, not by the system
            raise
        fail(unusable(error))
    except (KeyboardInterrupt, Abort):
        status = 130
    except TyperException as error:
        fail(f"{getattr(error, 'format_message', error.__str__)()} (see quantbench --help)")
    if status in INTERRUPTED:  # typer may turn Ctrl-C into its status itself
        with contextlib.suppress(OSError):  # a terminal that has hung up
            give_error(STOPPED)
            ERR.print(STOPPED)
    sys.exit(status)


def refuse_empty(arguments: list[str]) -> None:
    """An empty value is a variable that was never set; taken as a path it would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if not argument.strip() or (name.startswith("--") and equals and not value.strip()):
            which = name if equals else before if before.startswith("-") else "an argument"
            fail(f"{which} is empty; give it a value or leave it out")
        if "\0" in argument or (
            not argument.isprintable() and any("\ud800" <= c <= "\udfff" for c in argument)
        ):
            fail("an argument holds bytes that are no text; write it in UTF-8")


def fail(sentence: str) -> NoReturn:
    """Print one sentence and leave with exit code 2."""
    give_error(sentence)
    ERR.print(f"quantbench: {sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def give_error(sentence: str) -> None:
    """With --json an error is a document, too."""
    if "--json" in sys.argv[1:]:
        Output(OUT, as_json=True).give({"error": sentence}, lambda console: None)


def option(name: str, *flags: str) -> Any:
    """An option of `run`: its sentence and default stand in option_texts.py."""
    return typer.Option(*flags, help=text_of(name))


def described(sentence: str, default: str, *flags: str, **more: Any) -> Any:
    """An option of another command."""
    return typer.Option(*flags, help=describe(sentence, default), show_default=False, **more)


Json = Annotated[bool, described("Print one JSON document and nothing else.", "off", "--json")]
Unsafe = Annotated[
    bool,
    described("Run the programs without a sandbox.", "off", "--unsafe-no-sandbox"),
]
Formats = Annotated[str | None, option("output_format", "--format")]


@app.command()
def run(
    model: Annotated[str | None, typer.Argument(help=text_of("model"))] = None,
    model_option: Annotated[str | None, option("model_option", "--model")] = None,
    methods: Annotated[str | None, option("methods")] = None,
    baseline: Annotated[str | None, option("baseline")] = None,
    tasks: Annotated[str | None, option("tasks")] = None,
    task_data: Annotated[str | None, option("task_data")] = None,
    device: Annotated[str | None, option("device")] = None,
    dtype: Annotated[str | None, option("dtype")] = None,
    engine: Annotated[str | None, option("engine")] = None,
    batch_invariant: Annotated[bool | None, option("batch_invariant", "--batch-invariant")] = None,
    exact_prompts: Annotated[bool | None, option("exact_prompts", "--exact-prompts")] = None,
    revision: Annotated[str | None, option("revision")] = None,
    trust_remote_code: Annotated[bool | None, option("trust_remote_code", "--trust-remote-code")] = None,
    limit: Annotated[int | None, option("limit")] = None,
    seed: Annotated[int | None, option("seed")] = None,
    threads: Annotated[int | None, option("threads")] = None,
    batch_size: Annotated[int | None, option("batch_size")] = None,
    max_new_tokens: Annotated[int | None, option("max_new_tokens")] = None,
    completions_per_problem: Annotated[int | None, option("completions_per_problem")] = None,
    temperature: Annotated[float | None, option("temperature")] = None,
    top_p: Annotated[float | None, option("top_p")] = None,
    batch_sizes: Annotated[str | None, option("batch_sizes")] = None,
    prompt_tokens: Annotated[str | None, option("prompt_tokens")] = None,
    new_tokens: Annotated[int | None, option("new_tokens")] = None,
    rounds: Annotated[int | None, option("rounds")] = None,
    speed_budget: Annotated[float | None, option("speed_budget")] = None,
    text: Annotated[str | None, option("text")] = None,
    floor: Annotated[bool | None, option("floor", "--floor/--no-floor")] = None,
    unsafe_no_sandbox: Annotated[bool | None, option("unsafe_no_sandbox", "--unsafe-no-sandbox")] = None,
    output_dir: Annotated[Path | None, option("output_dir", "--output-dir", "-o")] = None,
    config: Annotated[Path | None, option("config")] = None,
    output_format: Formats = None,
    dry_run: Annotated[bool, option("dry_run", "--dry-run")] = False,
    as_json: Json = False,
) -> int:
    """Measure a model under each method and write the report.

    Example: quantbench run Qwen/Qwen2.5-0.5B --methods fp16,int8,int4 --device cuda:0
    """
    given = {name: value for name, value in locals().items() if value is not None and name != "as_json"}
    from quantbench import commands

    return commands.run(given, out=Output(OUT, as_json=as_json), err=ERR)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Results folder.")],
    output_format: Formats = None,
    as_json: Json = False,
) -> int:
    """Render a results folder again from its records; needs neither torch nor a GPU.

    Example: quantbench report results/builtin
    """
    from quantbench import commands

    return commands.report(folder, formats=output_format, out=Output(OUT, as_json=as_json), err=ERR)


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="Results folder.")],
    max_memory: Annotated[str | None, described("Most memory, as 2GB.", "no limit")] = None,
    max_size: Annotated[str | None, described("Most bytes of weights, as 500MB.", "no limit")] = None,
    max_ttft: Annotated[str | None, described("Most time to the first token, as 200ms.", "no limit")] = None,
    min_speed: Annotated[float | None, described("Least decoded tokens per second.", "no limit")] = None,
    min_recovery: Annotated[
        float | None, described("Least share of the baseline's pass@1, as 0.97.", "no limit")
    ] = None,
    as_json: Json = False,
) -> int:
    """Pick a method within limits from measured records, and say why each other one falls out.

    Exit status: 0 when a method meets the limits, 1 when none does.

    Example: quantbench recommend results/builtin --max-memory 2GB --min-recovery 0.97
    """
    from quantbench import deciding

    limits = deciding.read_limits(max_memory, max_size, max_ttft, min_speed, min_recovery)
    return deciding.recommend(folder, limits, out=Output(OUT, as_json=as_json), err=ERR)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results folder.")],
    new: Annotated[Path, typer.Argument(help="Another results folder of the same model.")],
    fail_on: Annotated[str, described("When to exit with status 1: regression or never.", "never")] = "never",
    tolerance: Annotated[
        float | None, described("Share by which speed and memory may get worse, as 0.03.", "0.05")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare two results folders and mark what really changed; a gate for continuous integration.

    Example: quantbench compare results/before results/after --fail-on regression
    """
    from quantbench import deciding

    out = Output(OUT, as_json=as_json)
    return deciding.compare(old, new, fail_on=fail_on, tolerance=tolerance, out=out, err=ERR)


@app.command()
def score(
    samples: Annotated[
        Path, typer.Argument(help="File of JSON lines with task_id and completion or solution.")
    ],
    task: Annotated[str, described("Task: humaneval or quickeval.", "humaneval")] = "humaneval",
    task_data: Annotated[
        str | None, described("File with the problems, HumanEval+ too.", "the published data")
    ] = None,
    protocol: Annotated[
        str, described("How programs are taken from the text, as code-fence-v1.", "as-is")
    ] = "as-is",
    k: Annotated[
        str | None, described("Values of k for pass@k, separated by commas.", "1,10,100", "--k")
    ] = None,
    workers: Annotated[int | None, described("Programs to run at once.", "one a core", min=1)] = None,
    output: Annotated[
        Path | None, described("File to write the verdicts to.", "SAMPLES_results.jsonl", "--output", "-o")
    ] = None,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Json = False,
) -> int:
    """Score a file of samples in the official evaluators' format, in the sandbox.

    Exit status: 0 when every line and problem was scored, 1 when some were left out, 2 when nothing was.

    Example: quantbench score samples.jsonl --task humaneval --task-data HumanEval.jsonl.gz
    """
    from quantbench.evaluation import score as scoring

    settings = scoring.ScoreSettings(
        samples=samples,
        task=task,
        task_data=task_data,
        protocol=protocol,
        ks=scoring.read_ks(k),
        workers=workers,
        output=output,
        unsafe=unsafe_no_sandbox,
    )
    return scoring.score(settings, out=Output(OUT, as_json=as_json), err=ERR)


@app.command()
def methods(
    model: Annotated[str | None, typer.Argument(help="As for `run`; what can run of this model.")] = None,
    device: Annotated[str | None, option("device")] = None,
    as_json: Json = False,
) -> int:
    """List the methods: what can run here, or of a model, and why the rest cannot.

    Example: quantbench methods --device cuda:0
    """
    from quantbench import commands

    return commands.methods(device, model, out=Output(OUT, as_json=as_json))


@app.command()
def doctor(as_json: Json = False) -> int:
    """Check GPU, libraries, sandbox and task data: what works, and how to mend the rest.

    Example: quantbench doctor
    """
    from quantbench import doctor

    return doctor.doctor(out=Output(OUT, as_json=as_json))


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[bool, described("Print the version.", "off", "--version")] = False,
) -> None:
    """What quantizing a language model buys and what it costs, measured on your machine.

    Example: quantbench run random:qwen2.5-0.5b --tasks none
    """
    if version:
        OUT.print(quantbench.__version__, highlight=False)
        raise typer.Exit()


if __name__ == "__main__":
    main()
