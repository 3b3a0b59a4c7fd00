"""The package's network in ONNX, batch normalisation folded in, and the image that everybody looks at."""

import json
import os
import struct
from pathlib import Path

import numpy
import onnx
import onnxruntime.quantization
from onnx import TensorProto, helper, numpy_helper

PACKAGE = Path(__file__).parent.parent / "models" / "cxr-pneumonia-reference"
STAGES = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]


def weights():
    """Tensors of the package by name, in f32."""
    data = (PACKAGE / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    types = {"F16": numpy.float16, "F32": numpy.float32}
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and entry["dtype"] in types:
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            values = numpy.frombuffer(data[begin:end], types[entry["dtype"]])
            tensors[name] = values.reshape(entry["shape"]).astype(numpy.float32)
    return tensors


class Graph:
    """The network in ONNX, batch normalisation folded in."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.constants = tensors, [], []

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(value), name))
        return name

    def node(self, kind, inputs, **attributes):
        output = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(self, x, name, norm, stride):
        weight = self.tensors[f"{name}.weight"]
        mean, variance = (self.tensors[f"{norm}.running_{which}"] for which in ("mean", "var"))
        scale = self.tensors[f"{norm}.weight"] / numpy.sqrt(variance + 1e-5)
        bias = self.tensors[f"{norm}.bias"] - mean * scale
        inputs = [self.constant(f"{name}.w", weight * scale[:, None, None, None]), self.constant(f"{name}.b", bias)]
        size = weight.shape[2]
        return self.node(
            "Conv", [x, *inputs], kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4
        )

    def dense(self, x, name):
        inputs = [self.constant(f"{name}.{which[0]}", self.tensors[f"{name}.{which}"]) for which in ("weight", "bias")]
        return self.node("Gemm", [x, *inputs], transB=1)

    def network(self):
        x = self.node("Relu", [self.convolution("image", "conv1", "bn1", 2)])
        x = self.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        for stage, (blocks, _, first) in enumerate(STAGES, 1):
            for block in range(blocks):
                name, stride = f"layer{stage}.{block}", first if block == 0 else 1
                y = self.node("Relu", [self.convolution(x, f"{name}.conv1", f"{name}.bn1", 1)])
                y = self.node("Relu", [self.convolution(y, f"{name}.conv2", f"{name}.bn2", stride)])
                y = self.convolution(y, f"{name}.conv3", f"{name}.bn3", 1)
                if f"{name}.downsample.0.weight" in self.tensors:
                    x = self.convolution(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
                x = self.node("Relu", [self.node("Add", [y, x])])
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        x = self.dense(self.node("Relu", [self.dense(x, "fc.0")]), "fc.2")
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 224, 224])
        logits = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", "outputs"])
        graph = helper.make_graph(self.nodes, "resnet50", [image], [logits], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def ramp():
    """The package's self-test image."""
    side = numpy.arange(224, dtype=numpy.float32)
    luminance = (side[None, :] + side[:, None]) / 446
    mean, deviation = (numpy.array(v, numpy.float32)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((luminance[None] - mean) / deviation).astype(numpy.float32)


class Calibration(onnxruntime.quantization.CalibrationDataReader):
    """The ramp, brighter and darker: enough to measure the speed of eight bits, not their accuracy."""

    IMAGES = [ramp()[None] * factor for factor in (1.0, 0.7, 0.4, -0.3)]

    def __init__(self):
        self.inputs = iter([{"image": image} for image in self.IMAGES])

    def get_next(self):
        return next(self.inputs, None)


def write(directory):
    """Everybody's models, as each one's own tools make them: `f32.onnx`, `int8.onnx` and, with OpenVINO, `f32.xml`, `int8.xml`."""
    source, target = (os.path.join(directory, name) for name in ("f32.onnx", "int8.onnx"))
    onnx.save(Graph(weights()).network(), source)
    onnxruntime.quantization.quantize_static(source, target, Calibration(), per_channel=True)
    ramp().tofile(os.path.join(directory, "image.f32"))
    try:
        import nncf
        import openvino
    except ImportError:
        return
    network = openvino.convert_model(source)
    openvino.save_model(network, os.path.join(directory, "f32.xml"), compress_to_fp16=False)
    data = nncf.Dataset(Calibration.IMAGES)
    openvino.save_model(nncf.quantize(network, data, subset_size=4), os.path.join(directory, "int8.xml"), compress_to_fp16=False)
