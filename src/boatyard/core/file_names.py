"""File names that tools around the photos reserve, and names that can't be a class's folder."""

import unicodedata

MAX_NAME_BYTES = 255  # on every common file system

# What file managers and archivers leave next to photos, and folders that .dvcignore hides from DVC.
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "__pycache__"}
# DVC's own files, partial files, and what a Python package leaves.
_CLUTTER_SUFFIXES = (".dvc", ".part", ".egg-info")


def is_clutter(name: str) -> bool:
    """Whether a file or folder with this name is not data: hidden, clutter, or ignored by DVC.

    What DVC ignores must not change a run, so this covers all of .dvcignore; a test checks it.
    """
    return name.startswith(".") or name.lower() in _CLUTTER or name.endswith(_CLUTTER_SUFFIXES)


def label_problem(label: str) -> str:
    """Why a class can't have this name, as a verb phrase; empty if it can."""
    if not label:
        return "is empty"
    if label.startswith("."):
        return "starts with a dot"
    if is_clutter(label):
        return "is reserved by DVC, Python or a file manager"
    if any(character == "/" or unicodedata.category(character) in {"Cc", "Cs"} for character in label):
        return "contains a slash or a control character"
    if len(label.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""
