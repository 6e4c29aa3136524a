"""Boatyard turns a folder of labelled photos into a tested image classifier, reproducibly."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boatyard.serving.classifier import Classifier as Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    # When it is asked for, and by name: every stage imports this module, and depends on what it imports.
    if name == "Classifier":
        from importlib import import_module

        return import_module("boatyard.serving.classifier").Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
