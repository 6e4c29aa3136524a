"""Leads the scripts in this folder to the library of their own tree, src/boatyard, even if another tree's is installed.

Python looks for `boatyard` next to a script first. What it finds here puts src first in the path and steps aside.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
del sys.modules[__name__]
import boatyard  # noqa: E402, F401 - Python returns what is under this name when this module has run
