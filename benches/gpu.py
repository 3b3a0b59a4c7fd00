"""Auscult on an NVIDIA device beside PyTorch, the same network: images a second and ratios.

    pip install torch torchvision
    packaging/build-cuda.sh
    python3 benches/gpu.py target/release/auscult [--precisions f32,bf16] [--model DIR]

`auscult bench` and PyTorch take turns, one device at a time, each with its result on the host. PyTorch computes
ResNet-50 with torchvision's layers, channels last, batch normalisation not folded, TF32 off, as it is run without
compiling. A ratio below 1 says that Auscult is faster.
"""

import argparse
import json
import statistics
import subprocess
import time

import torch
import torchvision

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def auscult(arguments, precision, batch):
    command = [arguments.auscult, "bench", "--device", "cuda", "--json", "--seconds", "2", "--precision", precision]
    command += ["--batch", str(batch)] + (["--model", arguments.model] if arguments.model else [])
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    assert (facts["device"], facts["precision"]) == ("CUDA", precision), facts
    return facts["median_ms"]


def pytorch(precision, batch):
    model = torchvision.models.resnet50(weights=None)
    model.fc = torch.nn.Sequential(torch.nn.Linear(2048, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
    model = model.eval().cuda().to(TYPES[precision], memory_format=torch.channels_last)
    images = torch.rand(batch, 3, 224, 224)

    def run():
        began = time.perf_counter()
        placed = images.cuda().to(TYPES[precision], memory_format=torch.channels_last)
        model(placed).float().softmax(1).cpu()
        return (time.perf_counter() - began) * 1e3

    with torch.inference_mode():
        for _ in range(10):
            run()
        return statistics.median(run() for _ in range(100))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("auscult")
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--model")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print(f"{'precision':>9} {'images':>6} {'Auscult':>12} {'PyTorch':>12} {'ratio':>6}")
    for precision in arguments.precisions.split(","):
        for batch in (1, 16):
            own, theirs = auscult(arguments, precision, batch), pytorch(precision, batch)
            shown = [f"{time:.2f} ms" if batch == 1 else f"{batch * 1e3 / time:.0f} /s" for time in (own, theirs)]
            print(f"{precision:>9} {batch:>6} {shown[0]:>12} {shown[1]:>12} {own / theirs:>6.2f}", flush=True)


main()
