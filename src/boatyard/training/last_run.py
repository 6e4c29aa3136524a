"""What the last run of a stage left in DVC's cache: DVC deletes a stage's outputs before it runs the stage again."""

from pathlib import Path


def cached(output: Path, stage: str) -> Path | None:
    """An output of the last run, by its MD5 in dvc.lock, in DVC's cache on this machine; None if it is not there."""
    from dvc.exceptions import DvcException  # slow to import
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            outs = repo.stage.load_one("dvc.yaml", name=stage).outs
            found = [Path(out.cache_path) for out in outs if out.def_path == output.as_posix() and out.hash_info]
    except DvcException:
        return None
    return next((path for path in found if path.is_file()), None)
