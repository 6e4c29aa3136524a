"""List PyPI's advisories on pinned packages, with pip-audit. None of the packages is installed.

    python .ci/audit.py requirements.txt …

Exits with 0 if all packages were looked up and have no advisory, with 1 if one has, and with 2 at the first file with a
package that could not be looked up. pip-audit alone mistakes an index without advisories for one that knows of no
vulnerability, and prints a traceback if there is no network.
"""

import json
import subprocess
import sys

OPTIONS = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
NONE, VULNERABLE, UNKNOWN = 0, 1, 2


def main(files: list[str]) -> int:
    worst = NONE
    for file in files:
        worst = max(worst, audit(file))
        if worst == UNKNOWN:
            break
    return worst


def audit(file: str) -> int:
    command = [sys.executable, "-m", "pip_audit", *OPTIONS, "--requirement", file]
    ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
        return _unknown(file, f"nothing was looked up: {reason[:300]}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return _unknown(file, f"none of {len(packages)} packages was looked up: this index has no advisories")
    found = [(package, advisory) for package in packages for advisory in package.get("vulns", [])]
    for package, advisory in found:
        fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
        print(f"{file}: {package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    print(f"{file}: {len(packages) - len(skipped)} packages looked up, {len(found)} advisories")
    if skipped:
        return _unknown(file, f"not looked up: {', '.join(skipped)}")
    return VULNERABLE if found else NONE


def _unknown(file: str, reason: str) -> int:
    print(f"error: {file}: {reason}", file=sys.stderr)
    return UNKNOWN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
