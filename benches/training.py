#!/usr/bin/env python3
"""The use case by `auscult train` and by PyTorch, in turn, on the same images, trunk and machine.

    python benches/training.py target/release/auscult DATA.csv [ROUNDS]

needs torch, torchvision, safetensors, pillow and numpy. Both start as a process of their own with nothing cached, read
the images, compute the features of the frozen trunk of models/cxr-pneumonia-reference with two threads, and fit Dense
128 ReLU, Dense softmax with Adam at 1e-4 over 10 epochs in batches of 50. PyTorch stops there; auscult goes on to its
figures, plots, report and package. Then either is trained with five seeds on the features that it has by now.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "models" / "cxr-pneumonia-reference"
SEEDS = range(1, 6)
THREADS = 2


def in_pytorch(table, seeds):
    """Prints one JSON line: seconds for features, and accuracies of every seed."""
    # The threads of auscult's kernels give way to other work by as much.
    os.nice(10)
    import numpy
    import torch
    import torchvision
    from PIL import Image
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    trunk = torchvision.models.resnet50()
    trunk.fc = torch.nn.Identity()
    weights = load_file(PACKAGE / "model.safetensors")
    trunk.load_state_dict({name: value.float() for name, value in weights.items() if not name.startswith("fc.")})
    trunk = trunk.eval().to(memory_format=torch.channels_last)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def image(path):
        grey = Image.open(path).convert("L").convert("F").resize((224, 224), Image.BILINEAR)
        luminance = torch.from_numpy(numpy.asarray(grey) / 255.0)
        return (luminance[None].expand(3, -1, -1) - mean) / deviation

    began = time.perf_counter()
    features = []
    with torch.inference_mode():
        for first in range(0, len(rows), 16):
            batch = [image(Path(table).parent / row["image_path"]) for row in rows[first : first + 16]]
            features.append(trunk(torch.stack(batch).to(memory_format=torch.channels_last)))
    x, y = torch.cat(features).clone(), torch.tensor([int(row["target"]) for row in rows])
    seconds = time.perf_counter() - began
    runs = []
    for seed in seeds:
        began = time.perf_counter()
        runs.append({**fitted(torch, x, y, seed), "seconds": time.perf_counter() - began})
    print(json.dumps({"features": seconds, "runs": runs}))


def fitted(torch, x, y, seed):
    torch.manual_seed(seed)
    order = torch.randperm(len(y))
    ends = [round(0.7 * len(y)), round(0.9 * len(y))]
    train, validation = order[: ends[0]], order[ends[0] : ends[1]]
    head = torch.nn.Sequential(torch.nn.Linear(2048, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
    for layer in (head[0], head[2]):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    adam = torch.optim.Adam(head.parameters(), 1e-4, eps=1e-7)
    for _ in range(10):
        for batch in train[torch.randperm(len(train))].split(50):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(head(x[batch]), y[batch]).backward()
            adam.step()
    with torch.inference_mode():
        right = (head(x).argmax(1) == y).float()
    return {"train": right[train].mean().item(), "validation": right[validation].mean().item()}


def in_auscult(executable, table, seed, cache):
    """Wall time, and accuracies as metrics.json has them."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "model"
        arguments = ["train", table, "--out", out, "--init", PACKAGE, "--cache", cache, "--seed", str(seed)]
        began = time.perf_counter()
        subprocess.run([executable, *arguments, "--threads", str(THREADS)], check=True, capture_output=True)
        seconds = time.perf_counter() - began
        metrics = json.loads((out / "metrics.json").read_text())
        return {"seconds": seconds, **{part: metrics[part]["accuracy"] for part in ("train", "validation", "test")}}


def shown(runs, part):
    values = [100 * run[part] for run in runs]
    return f"{statistics.mean(values):.2f} % ({min(values):.2f} to {max(values):.2f})"


def main():
    executable, table = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    whole, theirs_runs = {"auscult": [], "PyTorch": []}, []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            whole["auscult"].append(in_auscult(executable, table, 1, cache)["seconds"])
        began = time.perf_counter()
        seeds = SEEDS if number == 0 else [1]
        child = [sys.executable, __file__, "--pytorch", table, *map(str, seeds)]
        theirs = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
        whole["PyTorch"].append(time.perf_counter() - began - sum(run["seconds"] for run in theirs["runs"][1:]))
        theirs_runs = theirs_runs or theirs["runs"]
        print(f"round {number + 1}: auscult {whole['auscult'][-1]:.1f} s, PyTorch {whole['PyTorch'][-1]:.1f} s "
              f"(features {theirs['features']:.1f} s)", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        ours_runs = [in_auscult(executable, table, seed, cache) for seed in SEEDS]
    with open(table, newline="", encoding="utf-8") as file:
        images = sum(1 for _ in csv.DictReader(file))
    for name, times in whole.items():
        median = statistics.median(times)
        print(f"{name}: {median:.1f} s for the whole run, {images / median:.1f} images/s")
    ratio = statistics.median(a / b for a, b in zip(whole["auscult"], whole["PyTorch"]))
    print(f"auscult takes {ratio:.2f} of PyTorch's time")
    for part in ("train", "validation"):
        print(f"{part} accuracy, mean of five seeds: auscult {shown(ours_runs, part)}, PyTorch {shown(theirs_runs, part)}")
    print(f"test accuracy of auscult: {shown(ours_runs, 'test')}")
    print(f"a further seed on known features: {statistics.median(run['seconds'] for run in ours_runs[1:]):.2f} s")


if sys.argv[1] == "--pytorch":
    in_pytorch(sys.argv[2], [int(seed) for seed in sys.argv[3:]])
else:
    main()
