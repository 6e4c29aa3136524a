"""Write the model as one ONNX file, its preprocessing inside, checked against the model on validation photos."""

from boatyard import errors, files, paths
from boatyard.data import splitting
from boatyard.model import checkpoint
from boatyard.serving.export import export


def main() -> None:
    network, about = checkpoint.load(paths.MODEL)
    validation = [paths.RAW / row.path for row in splitting.read_splits(paths.SPLITS) if row.split == "validation"]
    content, check = export(network, about, validation, paths.GRAPHS)
    files.write_bytes(paths.ONNX, content)
    print(f"{paths.ONNX}: {check}")


if __name__ == "__main__":
    errors.run(main)
