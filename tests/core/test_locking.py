import errno
import fcntl
import re
import subprocess
import sys
from pathlib import Path

import pytest

from boatyard.core.errors import UserError
from boatyard.core.locking import lock, take

HOLD = """
import sys
from pathlib import Path
from boatyard.core.locking import lock
with lock('featurize', Path(sys.argv[1])):
    print('locked', flush=True)
    input()
"""


@pytest.mark.parametrize("end", ["killed", "returns"])
def test_a_running_stage_keeps_a_second_one_out_until_its_process_ends(tmp_path: Path, end: str) -> None:
    path = tmp_path / ".work/locks/featurize"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        for _ in range(2):  # a failed attempt changes nothing
            with pytest.raises(UserError) as caught, lock("featurize", path):
                pass
            assert str(caught.value) == (
                f"stage 'featurize' is already running in this folder (process {first.pid}): "
                "wait until it has ended, or end it"
            )
        if end == "killed":
            first.kill()
        first.communicate("\n")
    for _ in range(2):
        with lock("featurize", path):
            assert take(path) is None
    again = take(path)
    assert again is not None
    again.release()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_lets_a_stage_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock("featurize", tmp_path / "featurize"):
        pass
    with lock("featurize", tmp_path / "featurize"):  # the file alone is not a lock
        pass


def test_a_lock_that_can_not_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / ".work").write_text("a file where the folder should be")
    with (
        pytest.raises(UserError, match=re.escape("/.work/locks/featurize can't be written (Not a directory): free")),
        lock("featurize", tmp_path / ".work/locks/featurize"),
    ):
        pass
