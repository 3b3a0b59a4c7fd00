"""One runtime in a process of its own: `engines.py ENGINE NUMBERS THREADS DIRECTORY`, with the models of `resnet.write`.

It says how many milliseconds loading took and how many MB the process had before; then it reads a number of images from each
line, and answers with the milliseconds that they took and the first one's logits.
"""

import sys
import time
from pathlib import Path

import numpy


def onnx_runtime(numbers, threads, models):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def load():
        session = onnxruntime.InferenceSession(models / f"{numbers}.onnx", options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"image": images})[0]

    return load


def open_vino(numbers, threads, models):
    import openvino

    # Left alone, it computes f32 in bf16 where the processor has instructions for that.
    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    hints["INFERENCE_PRECISION_HINT"] = "bf16" if numbers == "bf16" else "f32"

    def load():
        network = models / ("int8.xml" if numbers == "int8" else "f32.xml")
        request = openvino.Core().compile_model(network, "CPU", hints).create_infer_request()
        return lambda images: request.infer({0: images})[0]

    return load


def tract(numbers, threads, models):
    """Whatever `threads` says, with one: its Python package knows no more."""
    import tract as runtime

    def load():
        runnable = {}

        def run(images):
            if len(images) not in runnable:
                model = runtime.onnx().load(models / "f32.onnx")
                model.set_input_fact(0, f"{len(images)},3,224,224,f32")
                runnable[len(images)] = model.into_model().into_runnable()
            return runnable[len(images)].run([images])[0].to_numpy()

        run(numpy.zeros([1, 3, 224, 224], numpy.float32))
        return run

    return load


def pytorch(numbers, threads, models):
    """Node by node, channels last, not compiled."""
    import onnx
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)

    def load():
        graph = onnx.load(models / "f32.onnx").graph
        tensors = {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer}
        last = {name: each.contiguous(memory_format=torch.channels_last) if each.dim() == 4 else each for name, each in tensors.items()}

        def apply(node, values):
            given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            match node.op_type:
                case "Conv":
                    return functional.conv2d(*values, stride=given["strides"], padding=given["pads"][:2])
                case "Relu":
                    return values[0].relu_()
                case "MaxPool":
                    return functional.max_pool2d(values[0], 3, 2, 1)
                case "Add":
                    return values[0].add_(values[1])
                case "GlobalAveragePool":
                    return values[0].mean((2, 3), keepdim=True)
                case "Flatten":
                    return values[0].flatten(1)
                case "Gemm":
                    return functional.linear(*values)

        def run(images):
            known = {**last, "image": torch.from_numpy(images).contiguous(memory_format=torch.channels_last)}
            with torch.inference_mode():
                for node in graph.node:
                    known[node.output[0]] = apply(node, [known[name] for name in node.input])
            return known[graph.output[0].name].numpy()

        return run

    return load


def main():
    engine, numbers, threads, models = sys.argv[1:]
    status = Path("/proc/self/status").read_text()
    before = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
    load = globals()[engine](numbers, int(threads), Path(models))
    began = time.perf_counter()
    run = load()
    print((time.perf_counter() - began) * 1e3, before, flush=True)
    image = numpy.fromfile(Path(models) / "image.f32", numpy.float32).reshape(1, 3, 224, 224)
    for line in sys.stdin:
        images = numpy.repeat(image, int(line), 0)
        began = time.perf_counter()
        logits = run(images)
        print((time.perf_counter() - began) * 1e3, *logits[0], flush=True)


main()
