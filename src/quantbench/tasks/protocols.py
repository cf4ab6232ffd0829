"""How other harnesses ask for a function, as protocols of ours: their prompts byte for byte, their stops.

Sources: EvalPlus 0.3.1 (codegen.py, provider/utility.py), whose figures Qwen and others publish; lm-eval
0.4.13 (`humaneval` version 1, `humaneval_instruct` version 4); bigcode-evaluation-harness (humaneval.py).
Where ours differ: a chat's text is never given a second BOS token (EvalPlus gives one to Llama models);
EvalPlus takes the answer apart with a parser, here lines are read (see extraction).
"""

from quantbench.tasks.problem import Conversation, Extraction, Problem, PromptProtocol

# EvalPlus ends every answer here, and at these of the data set.
ENDS = ("\nif __name__", "\ndef main(", "\nprint(")
OF_FUNCTIONS = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")
OF_MBPP = ('\n"""', "\nassert")
ASKED = (
    "Please provide a self-contained Python script that solves the following problem "
    "in a markdown code block:"
)
ANSWERED = (
    "Below is a Python script with a self-contained function that solves the problem and passes "
    "corresponding tests:"
)
FENCE = "```"


def stripped_line(problem: Problem) -> str:
    """The prompt without outer white space, ended by one newline: the body comes next."""
    return problem.prompt.strip() + "\n"


def stripped(problem: Problem) -> str:
    """The prompt without outer white space."""
    return problem.prompt.strip()


def as_it_stands(problem: Problem) -> str:
    """The prompt as the data have it."""
    return problem.prompt


def whole_function(problem: Problem) -> str:
    """A right answer where the whole function is asked for."""
    return problem.prompt + problem.canonical_solution


def evalplus_conversation(problem: Problem) -> Conversation:
    """EvalPlus: the prompt in a fence behind its instruction; the answer begins inside a fence."""
    return Conversation(
        user=f"{ASKED}\n{FENCE}\n{problem.prompt.strip()}\n{FENCE}\n",
        begins=f"{ANSWERED}\n{FENCE}python\n",
        goes_on=f"\n{FENCE}\n",
    )


def lm_eval_conversation(problem: Problem) -> Conversation:
    """lm-eval's `humaneval_instruct`: the answer begins with the prompt, inside a fence."""
    return Conversation(
        user=(
            "Write a solution to the following problem and make sure that it passes the tests:\n"
            f"{FENCE}python\n{problem.prompt}\n{FENCE}\n"
        ),
        begins=f"Here is the completed function:\n{FENCE}python\n{problem.prompt}\n",
    )


def plain_conversation(problem: Problem) -> Conversation:
    """The prompt as the user's message, and nothing else."""
    return Conversation(user=problem.prompt)


def evalplus_completion(stops: tuple[str, ...]) -> PromptProtocol:
    """EvalPlus's manner with a base model; a fence ends an answer besides, as its sanitizer has it."""
    return PromptProtocol(
        name="completion-evalplus",
        version=1,
        stops=(*stops, *ENDS, f"\n{FENCE}"),
        max_new_tokens=768,
        prompt=stripped_line,
    )


EVALPLUS_CHAT = PromptProtocol(
    name="chat-evalplus",
    version=1,
    stops=(*ENDS, "\n```\n"),
    max_new_tokens=768,
    prompt=stripped_line,
    conversation=evalplus_conversation,
    extraction=Extraction.ONLY_CODE,
    solution=whole_function,
)
LM_EVAL = PromptProtocol(
    name="completion-lm-eval",
    version=1,
    stops=("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
    max_new_tokens=1024,
    prompt=as_it_stands,
)
LM_EVAL_CHAT = PromptProtocol(
    name="chat-lm-eval",
    version=4,
    stops=(*LM_EVAL.stops, FENCE),
    max_new_tokens=1024,
    prompt=as_it_stands,
    conversation=lm_eval_conversation,
)
BIGCODE = PromptProtocol(
    name="completion-bigcode",
    version=1,
    stops=("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```", "<file_sep>"),
    max_new_tokens=512,
    prompt=stripped,
    extraction=Extraction.CUT_STRIPPED,
)
PLAIN_CHAT = PromptProtocol(
    name="chat-plain",
    version=1,
    stops=(),
    max_new_tokens=1024,
    prompt=as_it_stands,
    conversation=plain_conversation,
    extraction=Extraction.CODE_FENCE,
    solution=lambda problem: f"{FENCE}python\n{whole_function(problem)}\n{FENCE}",
)
EVALPLUS = evalplus_completion(OF_FUNCTIONS)
FUNCTION_PROTOCOLS = (EVALPLUS, EVALPLUS_CHAT, LM_EVAL, LM_EVAL_CHAT, BIGCODE, PLAIN_CHAT)
MBPP_PROTOCOLS = (evalplus_completion(OF_MBPP), EVALPLUS_CHAT, PLAIN_CHAT)
