"""cnn-tb against its peers, in turn in one run: a section for docs/benchmarks.md on standard output.

Everything is built by `make bench-peers`, which calls this with PyTorch's interpreter. The tables, all
but the third on the article's network:

epoch     seconds for an epoch, and peak memory, of each peer
avx2      the same against PyTorch, with both sides kept to AVX2
networks  the same against PyTorch, for the networks lenet5 and deep
accuracy  seconds from the start of the process until the validation accuracy first is 99 %

Each measurement is a process of its own, and a round measures each peer once, so that a slow moment
of the machine meets all of them.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "target/release/cnn-tb"
CANDLE = ROOT / "target/release/examples/candle-peer"
BURN = ROOT / "target/peers/burn/release/burn-peer"
UNPACK = ROOT / "target/release/examples/unpack"
PYTORCH = Path(__file__).with_name("pytorch.py")

OURS = "cnn-tb"
MODES = {"eager": "PyTorch, eager", "channels_last": "PyTorch, channels last", "compiled": "PyTorch, compiled"}
TABLES = ["epoch", "avx2", "networks", "accuracy"]
# The networks of the third table, and of how many parts of an epoch PyTorch trains one.
NETWORKS = {"lenet5": 1, "deep": 5}
BATCHES_PER_EPOCH = 550
ACCURACY = 0.99
# PyTorch's own loops and those of oneDNN, which computes its convolutions.
AVX2_ENVIRONMENT = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


@dataclass
class Measured:
    """What the rounds found of one peer."""

    secs: list = field(default_factory=list)
    memory: float = 0.0


class Process:
    """A command that runs: its lines as they come, with the seconds since its start."""

    def __init__(self, command, environment=None):
        self.command = [str(word) for word in command]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )

    def lines(self):
        for line in self.process.stdout:
            yield time.perf_counter() - self.began, json.loads(line)

    def memory(self):
        """Waits for the end; gives the peak resident memory in MB."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if status != 0:
            sys.exit(f"{' '.join(self.command)} ended with status {self.process.returncode}")
        return usage.ru_maxrss / 1024


def epoch_secs(command, environment=None):
    """The epochs of a peer that prints `epoch_secs`, and its peak memory."""
    process = Process(command, environment)
    secs = [secs for _, line in process.lines() for secs in line["epoch_secs"]]
    return secs, process.memory()


def our_training(directory, *flags):
    logdir = Path(directory) / "run"
    return [PROGRAM, "train", "--threads", 2, "--logdir", logdir, "--json", *flags]


def our_epoch_secs(epochs, *flags):
    """Our epochs after the first, with all that the program does in one."""
    with tempfile.TemporaryDirectory() as directory:
        process = Process(our_training(directory, "--epochs", epochs + 1, *flags))
        ends = [line["elapsed_secs"] for _, line in process.lines() if line["event"] == "epoch"]
        memory = process.memory()
    return [later - earlier for earlier, later in zip(ends, ends[1:])], memory


def secs_to_accuracy(process, accuracy_of):
    """Seconds until the process reports an epoch of 99 %; none if it never does."""
    reached = []
    for secs, line in process.lines():
        accuracy = accuracy_of(line)
        if not reached and accuracy is not None and accuracy >= ACCURACY:
            reached = [secs]
    return reached, process.memory()


def described(network):
    """The layers of one of our networks, for PyTorch to make the same."""
    return output_of(PROGRAM, "network", network, "--json")


def our_accuracy(seed):
    def accuracy_of(line):
        return line["validation"]["accuracy"] if line["event"] == "epoch" else None

    with tempfile.TemporaryDirectory() as directory:
        return secs_to_accuracy(Process(our_training(directory, "--seed", seed)), accuracy_of)


def pytorch_accuracy(mode, seed):
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([UNPACK, directory], check=True)
        process = Process([sys.executable, PYTORCH, described("article"), mode, "recipe", directory, seed])
        return secs_to_accuracy(process, lambda line: line["validation_accuracy"])


def measure(peers, rounds):
    """Measures every peer in every round; `peers` are functions of the round's number."""
    found = {name: Measured() for name in peers}
    for number in range(1, rounds + 1):
        for name, peer in peers.items():
            print(f"round {number} of {rounds}: {name}", file=sys.stderr)
            secs, memory = peer(number)
            found[name].secs += secs
            found[name].memory = max(found[name].memory, memory)
    return found


def pytorch_peers(epochs, environment=None, network="article", parts=1):
    def peer(mode):
        command = [sys.executable, PYTORCH, described(network), mode, "epochs", epochs, parts]
        return lambda _: epoch_secs(command, environment)

    return {name: peer(mode) for mode, name in MODES.items()}


def epoch_table(options):
    part = [options.epochs, options.batches]
    peers = {
        OURS: lambda _: our_epoch_secs(options.epochs),
        **pytorch_peers(options.epochs),
        "burn, Flex (part)": lambda _: epoch_secs([BURN, *part]),
        "candle (part)": lambda _: epoch_secs([CANDLE, *part]),
    }
    found = measure(peers, options.rounds)
    print_table("An epoch", "epoch, median", found, options.rounds)
    if options.batches < BATCHES_PER_EPOCH:
        print(
            f"\n(part): {options.batches} of an epoch's {BATCHES_PER_EPOCH} batches were trained, their time "
            "scaled to all; the memory holds so many fewer images."
        )
    return found


def avx2_table(options):
    peers = {
        OURS: lambda _: our_epoch_secs(options.epochs, "--instruction-set", "avx2"),
        **pytorch_peers(options.epochs, AVX2_ENVIRONMENT),
    }
    print_table("An epoch with AVX2", "epoch, median", measure(peers, options.rounds), options.rounds)


def network_table(options, network, parts):
    peers = {
        OURS: lambda _: our_epoch_secs(options.epochs, "--network", network),
        **pytorch_peers(options.epochs, network=network, parts=parts),
    }
    print_table(f"An epoch of {network}", "epoch, median", measure(peers, options.rounds), options.rounds)
    if parts > 1:
        print(f"\nPyTorch trained and evaluated 1/{parts} of the images, and their time is scaled to all.")


def accuracy_table(options, mode):
    peers = {OURS: our_accuracy, MODES[mode]: lambda seed: pytorch_accuracy(mode, seed)}
    found = measure(peers, options.rounds)
    print_table("Time to 99 %", "process, median", found, options.rounds)
    for name, measured in found.items():
        reached = len(measured.secs)
        print(f"\n{name} reached {ACCURACY:.0%} in {reached} of {options.rounds} trainings (seeds from 1).")


def fastest_mode(epoch_times):
    """PyTorch's fastest mode in the table of epochs; without that table, what was fastest so far."""
    if epoch_times is None:
        return "channels_last"
    return min(MODES, key=lambda mode: statistics.median(epoch_times[MODES[mode]].secs))


def print_table(title, what, found, rounds):
    ours = found[OURS].secs
    print(f"\n### {title}\n\nRounds: {rounds}; spread: (slowest − fastest) / median.\n")
    print(f"| | {what} | fastest … slowest | spread | against cnn-tb | peak memory |")
    print("|---|---|---|---|---|---|")
    for name, measured in found.items():
        print(f"| {name} | {row(measured.secs, ours)} | {measured.memory:.0f} MB |", flush=True)


def row(secs, ours):
    if not secs:
        return "not reached | | |"
    median, fastest, slowest = statistics.median(secs), min(secs), max(secs)
    spread = (slowest - fastest) / median
    ratio = f"{median / statistics.median(ours):.2f}" if ours else ""
    return f"{median:.2f} s | {fastest:.2f} … {slowest:.2f} s | {spread:.0%} | {ratio}"


def locked_version(lock, crate):
    found = re.search(rf'name = "{crate}"\nversion = "(.+)"', (ROOT / lock).read_text())
    return found.group(1) if found else "?"


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def print_heading():
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cpu = cpu.group(1) if cpu else platform.machine()
    # Read without loading it, which would cost this process memory and threads.
    pytorch = output_of(sys.executable, "-c", "import torch; print(torch.__version__)")
    print(f"Measured on {datetime.date.today()} by `make bench-peers` on {cpu}, {os.cpu_count()} processors,")
    print(f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the start. Versions:")
    print(f"{output_of(PROGRAM, '--version')} at {output_of('git', 'describe', '--always', '--dirty')},")
    print(f"PyTorch {pytorch} on Python {platform.python_version()}, "
          f"burn {locked_version('benches/peers/burn/Cargo.lock', 'burn')},")
    print(f"candle {locked_version('Cargo.lock', 'candle-core')}, {output_of('rustc', '--version')}.", flush=True)


def read_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, help="tables to measure")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each table (%(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=2, help="epochs a process that count, one warms up (%(default)s)"
    )
    parser.add_argument(
        "--batches", type=int, default=100, help="batches of an epoch for burn and candle (%(default)s)"
    )
    options = parser.parse_args()
    if min(options.rounds, options.epochs, options.batches) < 1:
        parser.error("rounds, epochs and batches are at least 1")
    return options


def main():
    options = read_options()
    print_heading()
    epoch_times = epoch_table(options) if "epoch" in options.only else None
    if "avx2" in options.only:
        avx2_table(options)
    if "networks" in options.only:
        for network, parts in NETWORKS.items():
            network_table(options, network, parts)
    if "accuracy" in options.only:
        accuracy_table(options, fastest_mode(epoch_times))


main()
