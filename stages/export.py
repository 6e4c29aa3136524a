"""Write the model as an ONNX graph with its preprocessing, checked against the model on validation photos."""

from boatyard.core.stage import run_stage

from boatyard.core import paths, splits
from boatyard.export import onnx_file
from boatyard.export.onnx_export import export
from boatyard.models import model_file


def main() -> None:
    network, header = model_file.load(paths.MODEL)
    validation = [paths.RAW / row.path for row in splits.read_splits(paths.SPLITS) if row.split == "validation"]
    content, agreement = export(network, header, validation, paths.GRAPHS)
    onnx_file.save(paths.ONNX, content, paths.ONNX_DATA.name)
    print(f"{paths.ONNX}: {agreement}")


if __name__ == "__main__":
    run_stage(main)
