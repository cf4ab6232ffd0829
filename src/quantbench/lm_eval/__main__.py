"""lm-eval's own command line with quantbench's model registered."""

import sys

from quantbench.errors import QuantbenchError


def main() -> None:
    """A user's mistake ends in one sentence and exit code 2."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except QuantbenchError as error:
        print(f"quantbench: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
