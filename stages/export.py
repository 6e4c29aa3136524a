"""Write the model as one ONNX file, its preprocessing inside, checked against the model on validation photos."""

from boatyard.core.stage import run_stage

from boatyard.core import files, paths, splits
from boatyard.export.onnx_export import export
from boatyard.models import checkpoint


def main() -> None:
    network, about = checkpoint.load(paths.MODEL)
    validation = [paths.RAW / row.path for row in splits.read_splits(paths.SPLITS) if row.split == "validation"]
    content, check = export(network, about, validation, paths.GRAPHS)
    files.write_bytes(paths.ONNX, content)
    print(f"{paths.ONNX}: {check}")


if __name__ == "__main__":
    run_stage(main)
