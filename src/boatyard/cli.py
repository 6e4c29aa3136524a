"""The command line: `boatyard predict | show | summary | export | serve | compare | backbones`.

Each command imports what it needs when it is chosen, so that `predict` starts at once.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from boatyard.core import errors, paths, splits

_MODEL_HELP = (
    "a model file: .onnx runs on the CPU and starts at once, .safetensors runs on the GPU if there is one; "
    "default: %(default)s"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, and exit with its status: 2 and one line for a user's mistake."""
    chosen = _parser().parse_args(arguments)
    try:
        errors.run(lambda: sys.exit(chosen.run(chosen)))
    except BrokenPipeError:
        # The reader of our output has closed it (`| head`). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("boatyard", description="Use and compare the models that `dvc repro` trains.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_predict(commands.add_parser("predict", help="classify photos"))
    _add_show(commands.add_parser("show", help="show test photos of one class, right and wrong ones"))
    _add_summary(commands.add_parser("summary", help="list the network's layers, with output shapes and parameters"))
    _add_export(commands.add_parser("export", help="write a model as an ONNX graph, or as a single file"))
    _add_serve(commands.add_parser("serve", help="open a web page to try the model"))
    _add_compare(commands.add_parser("compare", help="summarise the changes since another commit, for a pull request"))
    _add_backbones(commands.add_parser("backbones", help="list the backbones to choose from"))
    return parser


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Classify photos. Results go to standard output, progress and errors to standard error. The exit status is 1 "
        "if some files could not be read (the others are classified), 2 if nothing could be done."
    )
    parser.add_argument(
        "photos",
        nargs="*",
        metavar="PATH",
        help="a photo, a folder (searched recursively), a pattern in quotes ('holiday/**/*.jpg'), or - for paths on "
        "standard input, one per line; default: -",
    )
    parser.add_argument("--model", type=Path, default=paths.ONNX, metavar="FILE", help=_MODEL_HELP)
    parser.add_argument("--topk", type=_count, default=5, metavar="K", help="number of classes; default: %(default)s")
    parser.add_argument("--format", choices=["table", "csv", "json", "jsonl"], default="table", help="default: table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead of standard output")
    chosen = f"average several views of each photo, by the policy that tta_evaluate chose ({paths.TTA_METRICS})"
    parser.add_argument("--tta", dest="policy", action="store_const", const="chosen", help=chosen)
    by_policy = "the same, by this policy: %(choices)s"
    parser.add_argument("--tta-policy", dest="policy", choices=_TtaPolicies(), metavar="POLICY", help=by_policy)
    picture = "also draw each photo with its probabilities, and its class if known, one PNG per photo, into DIR"
    parser.add_argument("--picture", type=Path, metavar="DIR", help=picture)
    parser.set_defaults(run=_predict)


def _predict(chosen: argparse.Namespace) -> int:
    from boatyard.serving import predict

    return predict.run(
        chosen.photos or ([] if sys.stdin.isatty() else ["-"]),
        model=chosen.model,
        topk=chosen.topk,
        output_format=chosen.format,
        output=chosen.output,
        policy=chosen.policy,
        pictures=chosen.picture,
    )


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Draw test photos of one class, each with its most probable classes, on one PNG sheet, wrong predictions "
        f"first. Reads {paths.PREDICTIONS} and {paths.RAW}."
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("label", nargs="?", metavar="CLASS")
    which.add_argument("--worst", action="store_true", help="the class with the lowest top-1")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--right", dest="right", action="store_true", default=None, help="right predictions only")
    kind.add_argument("--wrong", dest="right", action="store_false", default=None, help="wrong predictions only")
    parser.add_argument("--count", type=_count, default=12, metavar="N", help="photos at most; default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the sheet; default: drawn/CLASS.png")
    parser.set_defaults(run=_show)


def _show(chosen: argparse.Namespace) -> int:
    from boatyard.serving import show

    return show.run(chosen.label, right=chosen.right, count=chosen.count, output=chosen.output)


def _add_summary(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the network's layers: names, output shapes, parameters, how many of them were trained."
    parser.add_argument("--model", type=Path, default=paths.MODEL, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--all", action="store_true", help="every single layer; default: blocks")
    parser.set_defaults(run=_summary)


def _summary(chosen: argparse.Namespace) -> int:
    from boatyard.serving import summary

    return summary.run(chosen.model, every_layer=chosen.all)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a model as an ONNX graph from a photo, uint8 [height, width, 3], to probabilities, with the backbone's "
        "weights in a second file. The pipeline runs this itself; the command is for a model that has no ONNX file. It "
        "is only written if its output agrees with the model's on real photos. --single-file makes one file to pass on."
    )
    parser.add_argument(
        "--single-file",
        action="store_true",
        help="write one self-contained file, .onnx or .safetensors; of a model of the same kind, this needs no photos",
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help=f"default: {paths.MODEL}, or {paths.ONNX} for a single .onnx file"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: the model's name with the suffix .onnx; with --single-file, classifier.onnx",
    )
    photos = "photos or folders to check on; default: this repository's validation photos"
    parser.add_argument("--photos", nargs="+", metavar="PATH", help=photos)
    parser.set_defaults(run=_export)


def _export(chosen: argparse.Namespace) -> int:
    from boatyard.export import onnx_file

    single, output = chosen.single_file, chosen.output
    if single:
        output = output or Path("classifier.onnx")
        model = chosen.model or (paths.ONNX if output.suffix == ".onnx" else paths.MODEL)
    else:
        model = chosen.model or paths.MODEL
        output = output or model.with_suffix(".onnx")
    if single and model.suffix == output.suffix == ".onnx":  # needs no torch
        onnx_file.save(output, onnx_file.joined(model))
        print(f"{output}: all of {model}")
        return 0

    from boatyard.models import model_file

    network, header = model_file.load(model)
    if output.suffix == ".safetensors":
        if not single:
            raise errors.UserError(f"{output}: add --single-file to write a safetensors file, or name it .onnx")
        model_file.save(output, network, header)
        print(f"{output}: all of {model}")
        return 0

    from boatyard.export.onnx_export import export
    from boatyard.serving import find_photos

    if chosen.photos:
        photos = find_photos.find(chosen.photos, sys.stdin)
    else:
        photos = [paths.RAW / row.path for row in splits.read_splits(paths.SPLITS) if row.split == "validation"]
    content, agreement = export(network, header, photos, paths.GRAPHS if paths.WORK.is_dir() else None)
    data = None if single else output.with_suffix(".onnx_data")
    onnx_file.save(output, content, data.name if data else None)
    print(f"{output}: {agreement}")
    if data:
        print(f"{data}: its backbone's weights; keep both in the same folder")
    return 0


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = "Open a web page to try the model on a photo. Needs Gradio: pip install 'boatyard[serve]'"
    parser.add_argument("--model", type=Path, default=paths.ONNX, metavar="FILE", help=_MODEL_HELP)
    host = "address to listen on; default: %(default)s, this machine only"
    parser.add_argument("--host", default="127.0.0.1", help=host)
    parser.add_argument("--port", type=int, default=7860, help="0: any free port; default: %(default)s")
    parser.set_defaults(run=_serve)


def _serve(chosen: argparse.Namespace) -> int:
    from boatyard.serving import app

    return app.run(chosen.model, host=chosen.host, port=chosen.port)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the changes since REV in Markdown: parameters, metrics, classes, data."
    parser.add_argument("revision", nargs="?", metavar="REV", help="a commit, branch or tag; default: the main branch")
    parser.set_defaults(run=_compare)


def _compare(chosen: argparse.Namespace) -> int:
    from boatyard.compare import command

    return command.run(chosen.revision)


def _add_backbones(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List what model.backbone can be: its input size, parameters, published accuracy on ImageNet, and whether its "
        "weights are on this machine."
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="names, in quotes: '*resnet*', or 'timm/*resnet*' for timm's; default: all of torchvision's and Lite",
    )
    parser.add_argument("--sort", choices=["top1", "parameters", "name"], default="top1", help="default: %(default)s")
    parser.add_argument("--format", choices=["table", "csv", "json"], default="table", help="default: %(default)s")
    parser.set_defaults(run=_backbones)


def _backbones(chosen: argparse.Namespace) -> int:
    from boatyard.models import backbone_list

    choices = sorted(backbone_list.find(chosen.pattern), key=backbone_list.ORDERS[chosen.sort])
    print(backbone_list.text(choices, chosen.format), end="")
    return 0


class _TtaPolicies:
    """The names in the registry, imported only when they are needed."""

    def __iter__(self) -> Iterator[str]:
        from boatyard.params.tta_policies import POLICIES

        return iter(POLICIES)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)
