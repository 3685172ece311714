"""Weights of a program in 8 bits, activations quantised as they come: onnxruntime's dynamic quantisation.

A smaller file, and other results; docs/weights.md says what it cost where it was measured.
"""

import logging
from pathlib import Path

from ..errors import InputError

OPERATORS = ("MatMul", "Gemm", "Conv")


def quantize(path: Path) -> None:
    """Store the weights of an ONNX file's convolutions and linear layers in 8 bits, in place.

    Raises:
        InputError: onnxruntime cannot quantise it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = path.with_suffix(".int8.onnx")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice about graphs of other exporters
    try:
        quantize_dynamic(
            path, made, op_types_to_quantize=list(OPERATORS), per_channel=True, weight_type=QuantType.QUInt8
        )
        made.replace(path)
    except Exception as error:
        why = (str(error).strip() or "no detail").splitlines()[0]
        raise InputError(f"expected a program whose weights fit 8 bits, but onnxruntime refuses: {why}") from error
    finally:
        logging.disable(before)
        made.unlink(missing_ok=True)
