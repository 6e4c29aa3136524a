"""The command line: `boatyard predict | export | serve | compare`."""

import argparse
import sys
from collections.abc import Sequence

from boatyard import errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; ends the process with 2 and one line for a user's mistake."""
    chosen = _parser().parse_args(arguments)
    errors.run(lambda: sys.exit(chosen.run(chosen)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("boatyard", description="What is done with a model once `dvc repro` has made it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compare(commands.add_parser("compare", help="what changed since another commit, for a pull request"))
    return parser


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print in Markdown what changed since REV: parameters, metrics, classes, data."
    parser.add_argument("revision", nargs="?", metavar="REV", help="a commit, branch or tag; default: the main branch")
    parser.set_defaults(run=_compare)


def _compare(chosen: argparse.Namespace) -> int:
    from boatyard.serving import compare

    return compare.run(chosen.revision)
