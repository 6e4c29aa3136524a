"""The split that a data set came with, carried in the file names of data/raw: `train__a.jpg`."""

SPLITS = ("train", "validation", "test")
SEPARATOR = "__"


def mark(split: str, name: str) -> str:
    """A photo's file name with its split in front; `split` is one of `SPLITS`, or empty for none."""
    return f"{split}{SEPARATOR}{name}" if split else name


def split_of(name: str) -> str:
    """The split in front of a file name, or the empty string."""
    split, found, _ = name.partition(SEPARATOR)
    return split if found and split in SPLITS else ""
