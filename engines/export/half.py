"""Half precision: weights and activations of 16 bits, pictures and boxes of 32."""

import warnings
from typing import Any

from engines.export.graph_reading import behind, last_convolutions


def to_half(model: Any) -> Any:
    """A copy of the model in float16, up to its last convolutions; its inputs and outputs stay as they are.

    What comes behind them computes coordinates of hundreds of pixels, whose steps in float16 are up to half a pixel.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights below the least float16, which become that
        return convert_float_to_float16(
            model, keep_io_types=True, node_block_list=sorted(behind(model, last_convolutions(model)))
        )
