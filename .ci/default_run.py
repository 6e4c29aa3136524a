"""Checks that the committed settings and results are those of the default run.

Not a test: users commit their own params.yaml and their own results, and `make test` must pass there too.
"""

import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PRESET = "presets/solar_cells.yaml"


def main() -> None:
    """Exit with a message if a file is not the default run's."""
    yaml = YAML(typ="safe", pure=True)
    if (ROOT / "params.yaml").read_bytes() != (ROOT / PRESET).read_bytes():
        sys.exit(f"params.yaml is not {PRESET}: copy it")
    if yaml.load(ROOT / "dvc.lock")["stages"]["report"]["params"]["params.yaml"] != yaml.load(ROOT / PRESET):
        sys.exit(f"dvc.lock is not of a run with {PRESET}: run `dvc repro`")


if __name__ == "__main__":
    main()
