"""Auscult's kernels beside ONNX Runtime and OpenVINO, the same weights and the same input, in turn: ratios of their times.

    python3 -m venv /tmp/runtimes && /tmp/runtimes/bin/pip install onnxruntime onnx numpy openvino nncf
    cargo bench --bench inference --no-run        # prints where the executable is
    /tmp/runtimes/bin/python benches/runtimes.py target/release/deps/inference-...

Rounds alternate between all, so that a machine that changes its pace hurts all alike; medians, and the median of the
ratios within a round. A ratio below 1 says that the kernels are faster. Without openvino and nncf those rows are left out.
"""

import io
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime
import onnxruntime.quantization
from onnx import TensorProto, helper, numpy_helper

try:
    import nncf
    import openvino
except ImportError:
    openvino = None

PACKAGE = Path(__file__).parent.parent / "models" / "cxr-pneumonia-reference"
STAGES = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]
ROUNDS = {1: 25, 16: 5}


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
        inputs = [self.constant(f"{name}.w", self.tensors[f"{name}.weight"]), self.constant(f"{name}.b", self.tensors[f"{name}.bias"])]
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


def images(count):
    return numpy.stack([ramp()] * count)


class Calibration(onnxruntime.quantization.CalibrationDataReader):
    """The ramp, brighter and darker: enough to measure the speed of eight bits, not their accuracy."""

    def __init__(self):
        self.inputs = iter([{"image": images(1) * factor} for factor in (1.0, 0.7, 0.4, -0.3)])

    def get_next(self):
        return next(self.inputs, None)


def in_eight_bits(model):
    """The network with quantised weights and activations, as ONNX Runtime's own tool makes it."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = (os.path.join(directory, name) for name in ("f32.onnx", "int8.onnx"))
        onnx.save(model, source)
        onnxruntime.quantization.quantize_static(source, target, Calibration(), per_channel=True)
        return onnx.load(target)


def onnx_runtime(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda count: timed(lambda: session.run(None, {"image": images(count)}))


def open_vino(model, threads, precision):
    network = openvino.convert_model(io.BytesIO(model.SerializeToString()))
    if precision == "int8":
        data = nncf.Dataset([images(1) * factor for factor in (1.0, 0.7, 0.4, -0.3)])
        network = nncf.quantize(network, data, subset_size=4)
    # Left alone, it computes f32 in bf16 where the processor has instructions for that.
    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    hints["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
    compiled = openvino.Core().compile_model(network, "CPU", hints)
    request = compiled.create_infer_request()
    return lambda count: timed(lambda: request.infer({0: images(count)}))


def timed(work):
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def kernels(executable, engine, threads):
    arguments = [executable, "--station", engine, str(threads)]
    child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(count):
        child.stdin.write(f"{count}\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    return run


def compare(precision, threads, own, others):
    """One block of the table: our kernels beside the others, for each number of images."""
    for count, rounds in ROUNDS.items():
        everybody = {"kernels": own, **others}
        times = {name: [] for name in everybody}
        for run in everybody.values():
            run(count)
        for _ in range(rounds):
            for name, run in everybody.items():
                times[name].append(run(count))
                # Their threads go on looking for work for a while.
                time.sleep(0.2)
        for name, theirs in times.items():
            median = statistics.median(theirs)
            shown = f"{median:.1f} ms" if count == 1 else f"{count * 1e3 / median:.1f} /s"
            ratio = statistics.median(a / b for a, b in zip(times["kernels"], theirs))
            print(f"{precision:>9} {count:>6} {threads:>7} {name:>14} {shown:>12} {ratio:>6.2f}", flush=True)


def main():
    model = Graph(weights()).network()
    stations = {(engine, threads): kernels(sys.argv[1], engine, threads) for engine in ("kernels", "bf16", "int8") for threads in (1, 2)}
    # The kernels' threads give way to other work by as much; what else runs here shall hurt all alike.
    os.nice(10)
    eight_bits = in_eight_bits(model)
    print(f"{'precision':>9} {'images':>6} {'threads':>7} {'engine':>14} {'':>12} {'kernels / engine':>6}")
    for threads in (1, 2):
        others = {"ONNX Runtime": onnx_runtime(model, threads)}
        others_in_eight = {"ONNX Runtime": onnx_runtime(eight_bits, threads)}
        if openvino:
            others["OpenVINO"] = open_vino(model, threads, "f32")
            others_in_eight["OpenVINO"] = open_vino(model, threads, "int8")
        compare("f32", threads, stations["kernels", threads], others)
        if openvino:
            compare("bf16", threads, stations["bf16", threads], {"OpenVINO": open_vino(model, threads, "bf16")})
        compare("int8", threads, stations["int8", threads], others_in_eight)


main()
