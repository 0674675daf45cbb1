"""ONNX files made by hand."""

import onnx
from onnx import TensorProto, helper

BRIGHT = 195 / 255
"""Between the made discs and their backgrounds, in the red channel."""


def write_bright(path, outputs=1, shape=("n", 3, "h", "w")):
    """An ONNX file that finds what is bright: sigmoid of the red channel, normalised with ImageNet's statistics."""
    names = [f"mask{number}" for number in range(outputs)]
    constants = {
        "zero": helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        "bias": helper.make_tensor("bias", TensorProto.FLOAT, [1], [-(BRIGHT - 0.485) / 0.229]),
        "steep": helper.make_tensor("steep", TensorProto.FLOAT, [1], [50.0]),
    }
    nodes = [
        helper.make_node("Gather", ["image", "zero"], ["red"], axis=1),
        helper.make_node("Add", ["red", "bias"], ["moved"]),
        helper.make_node("Mul", ["moved", "steep"], ["scaled"]),
        *(helper.make_node("Sigmoid", ["scaled"], [name]) for name in names),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], 1, *shape[2:]]) for name in names],
        list(constants.values()),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
