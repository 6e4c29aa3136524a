"""params.yaml: its schema, and reading it.

An unknown key, a wrong type, a value out of range or two values that contradict each other is a `UserError` that names
the key, the value and the fix. YAML is read as DVC reads it (YAML 1.2), so that the 1e-05 of `dvc exp run -S
train.lr=1e-05` is a number here too.
"""

from boatyard.params.reading import dump, load, read
from boatyard.params.schema import Params

__all__ = ["Params", "dump", "load", "read"]
