"""Epoch times of the article's network, ours and PyTorch's, in turn in one run, with their ratios.

usage: peers.py CNN_TB [ROUNDS]
Every peer trains 3 epochs a round, each in a process of its own; epochs after the first count. Ours
is the program as users run it: its times hold optimizer, logging and the evaluation after each epoch,
PyTorch's hold the training alone.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EPOCHS = 3
PYTORCH = Path(__file__).with_name("pytorch.py")


def run(command):
    """Runs a command; gives its lines of output and its peak resident memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} ended with status {status}")
    return lines, usage.ru_maxrss / 1024


def pytorch(mode):
    lines, memory = run([sys.executable, str(PYTORCH), mode, str(EPOCHS - 1)])
    return json.loads(lines[-1])["epoch_secs"], memory


def ours(program):
    with tempfile.TemporaryDirectory() as directory:
        logdir = str(Path(directory) / "run")
        settings = ["--epochs", str(EPOCHS), "--threads", "2", "--logdir", logdir, "--json"]
        lines, memory = run([program, "train", *settings])
    events = [json.loads(line) for line in lines]
    ends = [event["elapsed_secs"] for event in events if event["event"] == "epoch"]
    return [later - earlier for earlier, later in zip(ends, ends[1:])], memory


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    peers = {
        "cnn-tb": lambda: ours(program),
        "PyTorch, eager": lambda: pytorch("eager"),
        "PyTorch, channels last": lambda: pytorch("channels_last"),
        "PyTorch, compiled": lambda: pytorch("compiled"),
    }
    times = {name: [] for name in peers}
    memory = dict.fromkeys(peers, 0.0)
    for number in range(rounds):
        for name, measure in peers.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            secs, peak = measure()
            times[name] += secs
            memory[name] = max(memory[name], peak)
    median = {name: statistics.median(secs) for name, secs in times.items()}
    print("| | epoch, median | fastest … slowest | against cnn-tb | peak memory |")
    print("|---|---|---|---|---|")
    for name, secs in times.items():
        print(
            f"| {name} | {median[name]:.2f} s | {min(secs):.2f} … {max(secs):.2f} s "
            f"| {median[name] / median['cnn-tb']:.2f} | {memory[name]:.0f} MB |"
        )


main()
