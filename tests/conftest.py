"""What every test starts from: no setting of the machine or of the person who runs the tests."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_machine_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("BOATYARD_", "DVC_"))]:
        monkeypatch.delenv(name)
