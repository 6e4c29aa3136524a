"""The `git` command, in the current folder."""

import subprocess

from boatyard.core.errors import UserError


def ask(*arguments: str) -> str | None:
    """The output of a git command, or None if it fails."""
    done = run(*arguments)
    return done.stdout.decode(errors="surrogateescape").strip("\n") if done.returncode == 0 else None


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a git command, whether it fails or not.

    Raises:
        UserError: there is no git.
    """
    try:
        return subprocess.run(["git", *arguments], input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("the `git` command is missing, which reads the other commit: install it") from None
