"""Write the model as one ONNX file, its preprocessing inside, checked against the model on validation photos."""

from boatyard import errors, files, paths
from boatyard.data import splitting
from boatyard.model import checkpoint
from boatyard.serving.export import TOLERANCE, export

PHOTOS = 32  # at most; enough to meet every kind of photo that a data set usually has


def main() -> None:
    network, about = checkpoint.load(paths.MODEL)
    validation = [row for row in splitting.read_splits(paths.SPLITS) if row.split == "validation"]
    shown = validation[:: -(-len(validation) // PHOTOS)]
    content, check = export(network, about, [paths.RAW / row.path for row in shown], paths.GRAPHS)
    files.write_bytes(paths.ONNX, content)
    print(
        f"{paths.ONNX}: on {check.photos} validation photos, no probability differs from the model's by more than "
        f"{TOLERANCE:g}"
    )


if __name__ == "__main__":
    errors.run(main)
