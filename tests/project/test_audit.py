"""`make audit` calls pip-audit. Here a stand-in gives each kind of answer that the real one gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci/audit.py"

KNOWN = {"name": "torch", "version": "2.15.0", "vulns": []}
SKIPPED = {"name": "timm", "skip_reason": "Dependency not found on PyPI and could not be audited: timm (1.0.27)"}
ADVISORY = {"id": "PYSEC-2026-1", "fix_versions": ["12.3.1"], "aliases": ["CVE-2026-1"], "description": "…"}
VULNERABLE = {"name": "pillow", "version": "12.3.0", "vulns": [ADVISORY, {"id": "GHSA-1", "fix_versions": []}]}


def answer(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "output", "errors"),
    [
        (answer(KNOWN), "No known vulnerabilities found\n", 0, "pins.txt: 1 packages looked up, 0 advisories\n", ""),
        (
            answer(KNOWN, VULNERABLE),
            "Found 2 known vulnerabilities in 1 package\n",
            1,
            "pins.txt: pillow 12.3.0: PYSEC-2026-1, fixed in 12.3.1\n"
            "pins.txt: pillow 12.3.0: GHSA-1, fixed in no version yet\n"
            "pins.txt: 2 packages looked up, 2 advisories\n",
            "",
        ),
        (
            answer(SKIPPED, SKIPPED),
            "No known vulnerabilities found\n",
            2,
            "",
            "error: pins.txt: none of 2 packages was looked up: this index has no advisories\n",
        ),
        (
            answer(KNOWN, SKIPPED),
            "",
            2,
            "pins.txt: 1 packages looked up, 0 advisories\n",
            "error: pins.txt: not looked up: timm\n",
        ),
        (
            "",
            "Traceback (most recent call last):\n  …\nrequests.exceptions.ConnectionError: no route\n",
            2,
            "",
            "error: pins.txt: nothing was looked up: requests.exceptions.ConnectionError: no route\n",
        ),
        ("", "", 2, "", "error: pins.txt: nothing was looked up: no answer\n"),
    ],
)
def test_the_answer_of_pip_audit_is_summarised(
    tmp_path: Path, stdout: str, stderr: str, status: int, output: str, errors: str
) -> None:
    ended = audit(tmp_path, f"print({stdout!r})\nprint({stderr!r}, end='', file=sys.stderr)\n", "pins.txt")

    assert (ended.returncode, ended.stdout, ended.stderr) == (status, output, errors)
    arguments = (tmp_path / "arguments").read_text()
    assert arguments == "--disable-pip --require-hashes --progress-spinner off --format json --requirement pins.txt\n"


def test_the_exit_status_is_the_worst_of_several_files(tmp_path: Path) -> None:
    by_file = {"one.txt": answer(KNOWN), "two.txt": answer(VULNERABLE), "three.txt": answer(KNOWN)}

    ended = audit(tmp_path, f"print({by_file!r}[sys.argv[-1]])\n", *by_file)

    assert ended.returncode == 1
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == [
        "one.txt",
        "two.txt",
        "two.txt",
        "two.txt",
        "three.txt",
    ]


def test_no_network_is_a_one_line_error(tmp_path: Path) -> None:
    ended = audit(tmp_path, "sys.exit('no network')\n", "one.txt", "two.txt")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: one.txt: nothing was looked up: no network\n"


def audit(folder: Path, stand_in: str, *files: str) -> subprocess.CompletedProcess[str]:
    """Run the script with `stand_in` as the code of pip-audit."""
    record = "import sys\nopen('arguments', 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    (folder / "pip_audit.py").write_text(record + stand_in, encoding="utf-8")
    command = [sys.executable, SCRIPT, *files]
    environment = {"PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
