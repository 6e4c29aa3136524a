"""Boatyard turns a folder of labelled photos into a tested image classifier, reproducibly."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boatyard.serving.classifier import Classifier as Classifier
    from boatyard.serving.dataset import dataset as dataset

__all__ = ["Classifier", "dataset"]


def __getattr__(name: str) -> Any:
    # When it is asked for, and by name: every stage imports this module, and depends on what it imports.
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.serving.{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
