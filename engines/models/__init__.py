"""The detectors that are shipped; README.md beside this is their card. Entry points of `streamer.models` lead here."""

from pathlib import Path

_FOLDER = Path(__file__).parent
STREET = _FOLDER / "street.onnx"
STREET_INT8 = _FOLDER / "street_int8.onnx"
STREET_WIDE = _FOLDER / "street_wide.onnx"
STREET_WIDE_INT8 = _FOLDER / "street_wide_int8.onnx"
STREET_WEIGHTS = _FOLDER / "street.pt"
"""What `streamer train --init street` starts from, and `streamer export street --size N`."""
LICENSE = "CC-BY-4.0"
CONFIDENCE = 0.4
"""From which most of their boxes in pictures of cameras are right; see README.md."""
