"""PyTorch to int8 ONNX: matrix products per channel, the word table per row, everything else left in fp32."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

OPSET = 17


def export_int8(module: nn.Module, target: Path, *, outputs: Mapping[str, Mapping[int, str]]) -> None:
    """Write ``module(ids, mask)`` to ``target``; inputs ``input_ids`` and ``attention_mask`` int64 [B, T].

    ``outputs`` names the outputs and their axes that vary.
    """
    module.eval()
    ids = torch.randint(5, 1000, (2, 9))
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        axes = {
            "input_ids": {0: "batch", 1: "tokens"},
            "attention_mask": {0: "batch", 1: "tokens"},
            **{name: dict(varying) for name, varying in outputs.items()},
        }
        torch.onnx.export(
            module, (ids, torch.ones_like(ids)), str(plain), input_names=["input_ids", "attention_mask"],
            output_names=list(outputs), dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        quantize_dynamic(
            str(plain), str(quantised), op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=False,
            weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        model = onnx.load(str(quantised))
    _quantise_words(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _quantise_words(model: onnx.ModelProto) -> None:
    """Replace the fp32 word table and its Gather by int8 rows with one scale each (a quarter of the size)."""
    graph = model.graph
    table = max(graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    values = numpy_helper.to_array(table)
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] == table.name)
    scales = np.maximum(np.abs(values).max(axis=1, keepdims=True) / 127.0, 1e-12).astype(np.float32)
    rows = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
    graph.initializer.remove(table)
    graph.initializer.extend(
        [numpy_helper.from_array(rows, "words_int8"), numpy_helper.from_array(scales, "words_scale")]
    )
    position, ids, out = list(graph.node).index(gather), gather.input[1], gather.output[0]
    graph.node.remove(gather)
    nodes = [
        helper.make_node("Gather", ["words_int8", ids], ["words_rows_int8"]),
        helper.make_node("Cast", ["words_rows_int8"], ["words_rows"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["words_scale", ids], ["words_row_scale"]),
        helper.make_node("Mul", ["words_rows", "words_row_scale"], [out]),
    ]
    for offset, node in enumerate(nodes):
        graph.node.insert(position + offset, node)
