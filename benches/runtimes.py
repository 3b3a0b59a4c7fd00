"""The kernels beside other runtimes, the same weights and the same image, in turn: a table of their times.

    python3 -m venv /tmp/runtimes && /tmp/runtimes/bin/pip install onnxruntime onnx numpy openvino nncf torch tract
    cargo bench --bench inference --no-run        # prints where the executable is
    cargo build --release --manifest-path benches/rten/Cargo.toml
    /tmp/runtimes/bin/python benches/runtimes.py target/release/deps/inference-... benches/rten/target/release/rten-station

Each runtime is a process of its own, and they take turns, so that a machine that changes its pace hurts all alike: medians,
and of ratios the median within rounds. A ratio below 1 says that the kernels are faster. Without rten's program, or a Python
package other than the first three, those rows are left out. `--numbers f32` shows one block of the table only.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import resnet

ROUNDS = {1: 25, 16: 5}
# Of those that take seconds for 16 images.
FEW = 2
SLOW = ("candle", "tract")
# Their functions in engines.py, and the packages that they need.
IN_PYTHON = {
    "ONNX Runtime": ("onnx_runtime", ["onnxruntime"]),
    "OpenVINO": ("open_vino", ["openvino", "nncf"]),
    "PyTorch": ("pytorch", ["torch"]),
    "tract": ("tract", ["tract"]),
}
OTHERS = {
    "f32": ["ONNX Runtime", "OpenVINO", "PyTorch", "rten", "tract", "candle"],
    "bf16": ["OpenVINO"],
    "int8": ["ONNX Runtime", "OpenVINO"],
}
# What the kernels' time may be of another's, with one image and with 16.
WANTED = {"f32": ("ONNX Runtime", 1.0, 1.0), "bf16": ("OpenVINO", 1.1, 1 / 0.9), "int8": ("OpenVINO", 1.1, 1 / 0.9)}


class Station:
    """A runtime that has loaded the network."""

    def __init__(self, command, threads):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.times, self.score, self.memory = {}, None, {}
        loaded, self.before = self.answer()
        self.first_answer = loaded + self.run(1)

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.child.args[:3]} ended with {self.child.wait()}")
        return [float(word) for word in line.split()]

    def run(self, count):
        """Milliseconds of so many images."""
        self.child.stdin.write(f"{count}\n")
        self.child.stdin.flush()
        took, *logits = self.answer()
        largest = max(logits)
        powers = [math.exp(logit - largest) for logit in logits]
        self.score = powers[-1] / sum(powers)
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        self.memory[count] = int(peak) / 1024 - self.before
        return took

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def command(engine, numbers, threads, models, given):
    """How a runtime is started; none where it is not there."""
    if engine == "kernels":
        return [given.inference, "--station", "kernels" if numbers == "f32" else numbers, str(threads)]
    # The kernels' threads give way to other work by as much; what else runs here shall hurt all alike.
    give_way = ["nice", "-n", "10"]
    if engine == "candle":
        return [*give_way, given.inference, "--station", "candle", str(threads)]
    if engine == "rten":
        return given.rten and [*give_way, given.rten, str(threads), models]
    function, packages = IN_PYTHON[engine]
    script = Path(__file__).parent / "engines.py"
    is_there = all(map(find_spec, packages))
    return [*give_way, sys.executable, script, function, numbers, str(threads), models] if is_there else None


def measure(stations):
    """Everybody's times by number of images, round by round."""
    for count, rounds in ROUNDS.items():
        for station in stations.values():
            station.run(count)
            station.times[count] = []
        for number in range(rounds):
            for name, station in stations.items():
                if number < FEW or count == 1 or name not in SLOW:
                    station.times[count].append(station.run(count))
                    # Their threads go on looking for work for a while.
                    time.sleep(0.2)


def ratio(stations, name, count):
    pairs = zip(stations["kernels"].times[count], stations[name].times[count])
    return statistics.median(ours / theirs for ours, theirs in pairs)


def show(numbers, threads, stations):
    for name, station in stations.items():
        one, sixteen = (statistics.median(station.times[count]) for count in (1, 16))
        cells = [numbers, threads, name, f"{station.first_answer:.0f}", f"{one:.1f}", f"{ratio(stations, name, 1):.2f}"]
        cells += [f"{16e3 / sixteen:.1f}", f"{ratio(stations, name, 16):.2f}"]
        cells += [f"{station.memory[1]:.0f}", f"{station.memory[16]:.0f}", f"{station.score:.6f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def verdicts(numbers, threads, stations):
    name, *limits = WANTED[numbers]
    for count, limit in zip(ROUNDS, limits):
        if name in stations:
            found = ratio(stations, name, count)
            said = "reached" if found <= limit else "missed"
            yield f"{numbers}, images: {count}, threads: {threads}: {found:.2f} of {name}'s time, wanted at most {limit:.2f}: {said}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inference", help="the executable of the bench `inference`")
    parser.add_argument("rten", nargs="?", help="the program of benches/rten")
    parser.add_argument("--numbers", nargs="*", choices=list(OTHERS), default=list(OTHERS))
    given = parser.parse_args()
    said = []
    with tempfile.TemporaryDirectory() as models:
        resnet.write(models)
        print("| numbers | threads | runtime | first answer, ms | 1 image, ms | kernels' time to it | 16 images, a second | kernels' time to it | MB with 1 | MB with 16 | score |")
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for numbers, threads in ((numbers, threads) for numbers in given.numbers for threads in (1, 2)):
            commands = {name: command(name, numbers, threads, models, given) for name in ["kernels", *OTHERS[numbers]]}
            stations = {name: Station(command, threads) for name, command in commands.items() if command}
            measure(stations)
            show(numbers, threads, stations)
            said += verdicts(numbers, threads, stations)
            for station in stations.values():
                station.end()
    print("", *said, sep="\n")


main()
