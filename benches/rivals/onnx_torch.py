"""A float ONNX network as a PyTorch module, for the converters that start from PyTorch.

Knows the operators of the networks measured here, after ONNX Runtime's preprocessing has folded the batch norms. An
operator or attribute that it does not know is an error.
"""
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional


class Pad(nn.Module):
    """Zeros around a map, among them zero channels. `concatenate` makes concatenations with zeros of it: LiteRT's
    converter keeps these in its own memory order, and would put transpositions around paddings."""

    concatenate = False

    def __init__(self, begins, ends):
        super().__init__()
        self.pairs = list(zip(begins, ends))

    def forward(self, x):
        """Pads."""
        if self.concatenate:
            return self.concatenated(x)
        # PyTorch wants the last dimension first; the batch is never padded.
        return functional.pad(x, [value for pair in reversed(self.pairs[1:]) for value in pair])

    def concatenated(self, x):
        """The same by concatenations."""
        for axis, counts in enumerate(self.pairs):
            zeros = [torch.zeros(*x.shape[:axis], count, *x.shape[axis + 1 :]) for count in counts]
            parts = [zeros[0]] * (counts[0] > 0) + [x] + [zeros[1]] * (counts[1] > 0)
            x = torch.cat(parts, axis) if len(parts) > 1 else x
        return x


def pad(_attributes, constants):
    """The padding before a shortcut that has fewer channels."""
    pads = constants[0].tolist()
    return Pad(pads[: len(pads) // 2], pads[len(pads) // 2 :])


def convolution(attributes, constants):
    """A convolution; uneven padding goes before it."""
    weight, bias = constants
    if attributes.get("group", 1) != 1 or set(attributes.get("dilations", [1])) != {1}:
        raise ValueError("grouped and dilated convolutions are not known here")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    even = (top, left) == (bottom, right)
    conv = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        weight.shape[2:],
        attributes.get("strides", [1, 1]),
        (top, left) if even else 0,
    )
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv if even else nn.Sequential(Pad((0, 0, top, left), (0, 0, bottom, right)), conv)


def linear(attributes, constants):
    """A classifier."""
    weight, bias = constants
    if not attributes.get("transB", 0):
        weight = weight.T.contiguous()
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def max_pool(attributes, _constants):
    """A max pooling with even padding."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise ValueError("uneven padding of a max pooling is not known here")
    return nn.MaxPool2d(attributes["kernel_shape"], attributes["strides"], (top, left))


def subsample(_attributes, constants):
    """Every n-th row or column, as a pooling of single values: all converters know that, and not all know slices."""
    starts, _ends, axes, steps = (value.tolist() for value in constants)
    stride = dict(zip(axes, steps))
    if any(starts) or not set(axes) <= {2, 3}:
        raise ValueError("slices other than every n-th row and column are not known here")
    return nn.MaxPool2d(1, (stride.get(2, 1), stride.get(3, 1)))


class Add(nn.Module):
    """A shortcut."""

    def forward(self, a, b):
        """The sum."""
        return a + b


LAYERS = {
    "Conv": convolution,
    "Gemm": linear,
    "MaxPool": max_pool,
    "Relu": lambda _attributes, _constants: nn.ReLU(),
    "GlobalAveragePool": lambda _attributes, _constants: nn.AdaptiveAvgPool2d(1),
    "Flatten": lambda _attributes, _constants: nn.Flatten(),
    "Add": lambda _attributes, _constants: Add(),
    "Slice": subsample,
    "Pad": pad,
}


def load(path):
    """Reads a network: a `torch.fx.GraphModule` in evaluation mode."""
    graph = onnx.load(path).graph
    constants = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    fx_graph, layers = torch.fx.Graph(), nn.Module()
    values = {graph.input[0].name: fx_graph.placeholder("input")}
    for index, node in enumerate(graph.node):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
            continue
        if node.op_type not in LAYERS:
            raise ValueError(f"operator {node.op_type} is not known here")
        own = [constants[name] for name in node.input if name in constants]
        inputs = tuple(values[name] for name in node.input if name in values)
        name = f"{node.op_type.lower()}_{index}"
        layers.add_module(name, LAYERS[node.op_type](attributes, own))
        values[node.output[0]] = fx_graph.call_module(name, inputs)
    fx_graph.output(values[graph.output[0].name])
    return torch.fx.GraphModule(layers, fx_graph).eval()


def concatenate_zeros(module):
    """Makes concatenations of all paddings outside of convolutions."""
    for part in module.modules():
        if isinstance(part, Pad):
            part.concatenate = True
    return module
