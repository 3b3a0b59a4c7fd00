#!/usr/bin/env python3
"""The use case by `auscult train` and by PyTorch, in turn, on the same images, divisions, trunk and machine.

    python benches/training.py target/release/auscult DATA.csv [--train-trunk none last-stage all] [--rounds 2]
                               [--epochs 10] [--seeds 5]

needs torch, torchvision, safetensors, pillow and numpy. Both start as a process of their own with nothing cached, read
the images, compute with two threads what the frozen part of the trunk of models/cxr-pneumonia-reference makes of them,
and fit the rest with Dense 128 ReLU, Dense softmax behind it by Adam at 1e-4 in batches of 50. Batch normalisation of
trained layers is by batch in both. PyTorch stops there; auscult goes on to its figures, plots, report and package. Then
either is trained with some seeds, each with a division of its own, on what it has kept by now.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "models" / "cxr-pneumonia-reference"
THREADS = 2
BATCH = 50
PARTS = ("train", "validation", "test")


def divided(table, seed, to):
    """Writes the table with a column `split`: 70, 20 and 10 % by chance, copies of an image in one part."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    ends = [round(0.7 * len(rows)), round(0.9 * len(rows))]
    parts = {}
    for place, index in enumerate(order):
        path = (Path(table).parent / rows[index]["image_path"]).resolve()
        content = hashlib.sha256(path.read_bytes()).digest()
        rows[index]["split"] = parts.setdefault(content, PARTS[sum(place >= end for end in ends)])
        rows[index]["image_path"] = str(path)
    with open(to, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image_path", "target", "split"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def in_pytorch(trunk_part, epochs, tables):
    """Prints one JSON line: seconds for what is kept of the images, and accuracies of every division."""
    # The threads of auscult's kernels give way to other work by as much.
    os.nice(10)
    import numpy
    import torch
    import torchvision
    from PIL import Image
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    weights = load_file(PACKAGE / "model.safetensors")
    weights = {name: value.float() for name, value in weights.items() if not name.startswith("fc.")}

    def resnet():
        trunk = torchvision.models.resnet50()
        trunk.fc = torch.nn.Identity()
        trunk.load_state_dict(weights)
        children = list(trunk.children())
        cut = {"none": len(children), "last-stage": 7, "all": 0}[trunk_part]
        frozen, trained = torch.nn.Sequential(*children[:cut]), torch.nn.Sequential(*children[cut:])
        return frozen.eval().to(memory_format=torch.channels_last), trained

    with open(tables[0], newline="", encoding="utf-8") as file:
        paths = [row["image_path"] for row in csv.DictReader(file)]
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def image(path):
        grey = Image.open(path).convert("L").convert("F").resize((224, 224), Image.BILINEAR)
        luminance = torch.from_numpy(numpy.asarray(grey) / 255.0)
        return (luminance[None].expand(3, -1, -1) - mean) / deviation

    began = time.perf_counter()
    frozen, _ = resnet()
    kept = []
    with torch.inference_mode():
        for first in range(0, len(paths), 16):
            batch = torch.stack([image(path) for path in paths[first : first + 16]])
            kept.append(frozen(batch.to(memory_format=torch.channels_last)))
    x = torch.cat(kept).clone()
    seconds = time.perf_counter() - began
    runs = []
    for seed, table in enumerate(tables, 1):
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        y = torch.tensor([int(row["target"]) for row in rows])
        parts = {part: torch.tensor([i for i, row in enumerate(rows) if row["split"] == part]) for part in PARTS}
        began = time.perf_counter()
        runs.append({**fitted(torch, resnet()[1], x, y, parts, seed, epochs), "seconds": time.perf_counter() - began})
    print(json.dumps({"kept": seconds, "runs": runs}))


def fitted(torch, trunk, x, y, parts, seed, epochs):
    torch.manual_seed(seed)
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2048, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
    for layer in (head[1], head[3]):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    network = torch.nn.Sequential(trunk, head).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), 1e-4, eps=1e-7)
    curve = []

    def accuracy(part):
        network.eval()
        with torch.inference_mode():
            right = sum((network(x[batch]).argmax(1) == y[batch]).sum().item() for batch in parts[part].split(32))
        return right / len(parts[part])

    for _ in range(epochs):
        network.train()
        for batch in parts["train"][torch.randperm(len(parts["train"]))].split(BATCH):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            adam.step()
        curve.append(accuracy("validation"))
    return {"validation": curve[-1], "curve": curve, **{part: accuracy(part) for part in ("train", "test")}}


def in_auscult(arguments, part, table, seed, cache):
    """Wall time, and accuracies as metrics.json has them."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "model"
        command = [arguments.executable, "train", table, "--split", "split", "--out", out, "--init", PACKAGE]
        command += ["--cache", cache, "--seed", str(seed), "--epochs", str(arguments.epochs)]
        command += ["--train-trunk", part, "--threads", str(THREADS)]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        metrics = json.loads((out / "metrics.json").read_text())
        return {"seconds": seconds, **{part: metrics[part]["accuracy"] for part in PARTS}}


def shown(runs, part):
    values = [100 * run[part] for run in runs]
    return f"{statistics.mean(values):.2f} % ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("executable")
    parser.add_argument("table")
    parser.add_argument("--train-trunk", choices=["none", "last-stage", "all"], nargs="+", default=["none"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        tables = [str(Path(directory) / f"{seed}.csv") for seed in range(1, arguments.seeds + 1)]
        for seed, table in enumerate(tables, 1):
            divided(arguments.table, seed, table)
        for part in arguments.train_trunk:
            print(f"--train-trunk {part}, {arguments.epochs} epochs", flush=True)
            measure(arguments, part, tables)


def measure(arguments, part, tables):
    whole, theirs_runs = {"auscult": [], "PyTorch": []}, []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            whole["auscult"].append(in_auscult(arguments, part, tables[0], 1, cache)["seconds"])
        began = time.perf_counter()
        some = tables if number == 0 else tables[:1]
        child = [sys.executable, __file__, "--pytorch", part, str(arguments.epochs), *some]
        theirs = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
        whole["PyTorch"].append(time.perf_counter() - began - sum(run["seconds"] for run in theirs["runs"][1:]))
        theirs_runs = theirs_runs or theirs["runs"]
        print(f"round {number + 1}: auscult {whole['auscult'][-1]:.1f} s, PyTorch {whole['PyTorch'][-1]:.1f} s "
              f"(of it {theirs['kept']:.1f} s for what is kept of the images)", flush=True)
    ours_runs = []
    if arguments.seeds > 1:
        with tempfile.TemporaryDirectory() as cache:
            ours_runs = [in_auscult(arguments, part, table, seed, cache) for seed, table in enumerate(tables, 1)]
    with open(tables[0], newline="", encoding="utf-8") as file:
        images = sum(1 for _ in csv.DictReader(file))
    for name, times in whole.items():
        median = statistics.median(times)
        print(f"{name}: {median:.1f} s for the whole run, {images / median:.1f} images/s")
    ratio = statistics.median(a / b for a, b in zip(whole["auscult"], whole["PyTorch"]))
    print(f"auscult takes {ratio:.2f} of PyTorch's time")
    if ours_runs:
        for images_of in PARTS:
            print(f"{images_of} accuracy, mean of {len(ours_runs)} seeds: auscult {shown(ours_runs, images_of)}, "
                  f"PyTorch {shown(theirs_runs, images_of)}")
        further = statistics.median(run["seconds"] for run in ours_runs[1:])
        print(f"a further seed on what is kept: {further:.2f} s")


if sys.argv[1:2] == ["--pytorch"]:
    in_pytorch(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
else:
    main()
