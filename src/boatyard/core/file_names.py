"""Names that mean something to the tools around the photos, and names that can't be a class's folder."""

import unicodedata

LONGEST = 255  # bytes in a file name, on every file system in use

# What file managers and archivers leave beside photos, and folders that .dvcignore keeps from DVC.
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "__pycache__"}
# DVC's own files; what is half written; what a Python package leaves.
_CLUTTER_SUFFIXES = (".dvc", ".part", ".egg-info")


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is no part of the data: hidden, clutter, or not seen by DVC.

    What DVC does not see must not change what a run finds, so this covers all of .dvcignore; a test holds it to that.
    """
    return name.startswith(".") or name.lower() in _CLUTTER or name.endswith(_CLUTTER_SUFFIXES)


def unfit(label: str) -> str:
    """Why a class can't have this name, as a verb and its object; "" if it can."""
    if not label:
        return "is empty"
    if label.startswith("."):
        return "starts with a dot"
    if is_clutter(label):
        return "is one that DVC, Python or a file manager takes for its own"
    if any(character == "/" or unicodedata.category(character) in {"Cc", "Cs"} for character in label):
        return "has a slash or a control character in it"
    if len(label.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""
