"""Options of everything that detects: which engine, how its answers are read, what is wanted of them."""

import argparse

NAMES = ("engine", "head", "padding", "confidence", "iou")
"""Options that are settings of the same name in section [detect]."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds them, --classes too; what is not given stays None, and the settings decide."""
    parser.add_argument("--engine", metavar="NAME", help="onnxruntime (default), openvino or an installed one")
    parser.add_argument("--head", metavar="NAME", help="output layout, if it is not found out from the file")
    parser.add_argument("--padding", choices=("auto", "centre", "top-left"), help="of the letterbox")
    parser.add_argument(
        "--confidence", type=float, metavar="P", help="least score of an object (default: the file's, else 0.25)"
    )
    parser.add_argument(
        "--iou", type=float, metavar="R", help="overlap from which two boxes are one (default: the file's, else 0.6)"
    )
    parser.add_argument("--classes", metavar="A,B", help="names of the classes wanted (default: all)")


def class_names(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """The names given with --classes, None if there are none."""
    return tuple(filter(None, arguments.classes.split(","))) if arguments.classes else None
