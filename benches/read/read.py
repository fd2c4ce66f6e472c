"""Readers of event files in turn in one run: a section for docs/benchmarks.md on standard output.

Everything is built by `make bench-read`, which calls this with the interpreter of .venv-read. Each
measurement is a process of its own, from its start until all points are in memory, and a round
measures each reader once, so that a slow moment of the machine meets all of them. The memory is
the process's largest resident set. The files lie in the page cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNT = Path(__file__).parents[2] / "target/release/examples/count-points"
ACCUMULATOR = """
import sys
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for path in {file.parent for file in Path(sys.argv[1]).rglob("*tfevents*")}:
    events = EventAccumulator(str(path), {"scalars": 0}).Reload()
    assert events.Tags()["scalars"]
"""
TBPARSE = """
import sys
from tbparse import SummaryReader
assert len(SummaryReader(sys.argv[1]).scalars)
"""
# name: runs, points of each, and whether the slow peers are measured too
SHAPES = {
    "1 × 1,000,000": (1, 1_000_000, True),
    "10 × 100,000": (10, 100_000, True),
    "1,000 × 1,000": (1_000, 1_000, False),
    "1 × 10,000,000": (1, 10_000_000, False),
}
OURS = "cnn-tb"
SERVER = "TensorBoard's Rust data server"


def run(command, until=None):
    """Seconds and largest resident set in MB; until the command ends, or says `until`."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if until and until in line:
            secs = time.perf_counter() - began
            process.terminate()
            process.stderr.read()
            break
    else:
        secs = None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if until is None:
        secs = time.perf_counter() - began
    if secs is None or (until is None and process.returncode != 0):
        sys.exit(f"{command[0]} failed:\n{''.join(said)}")
    return secs, usage.ru_maxrss / 1024


def server():
    import tensorboard_data_server

    return tensorboard_data_server.server_binary()


def readers(logdir, with_slow):
    """name: (command, what the command says when it is done)."""
    fast = [server(), "--logdir", logdir, "--port", "0", "--reload", "once", "--verbose"]
    found = {
        OURS: ([COUNT, logdir], None),
        SERVER: (fast, "Finished load cycle"),
        SERVER + ", checksums verified": ([*fast, "--checksum"], "Finished load cycle"),
    }
    if with_slow:
        found["EventAccumulator"] = ([sys.executable, "-c", ACCUMULATOR, logdir], None)
        found["tbparse"] = ([sys.executable, "-c", TBPARSE, logdir], None)
    return found


def measure(logdir, with_slow, rounds):
    found = {}
    for index in range(rounds):
        for name, (command, until) in readers(logdir, with_slow).items():
            # The slow ones take minutes, and their spread does not matter.
            if index == 0 or name.startswith((OURS, SERVER)):
                found.setdefault(name, []).append(run(command, until))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each fast reader")
    parser.add_argument("--without-slow", action="store_true", help="no EventAccumulator, no tbparse")
    arguments = parser.parse_args()
    print("| runs × points | reader | median | fastest … slowest | against cnn-tb | peak memory |")
    print("|---|---|---|---|---|---|")
    for shape, (runs, points, with_slow) in SHAPES.items():
        with tempfile.TemporaryDirectory() as logdir:
            subprocess.run([COUNT, "write", logdir, str(runs), str(points)], check=True)
            found = measure(logdir, with_slow and not arguments.without_slow, arguments.rounds)
        ours = statistics.median(secs for secs, _ in found[OURS])
        for name, measured in found.items():
            secs = [secs for secs, _ in measured]
            memory = max(memory for _, memory in measured)
            median = statistics.median(secs)
            print(
                f"| {shape} | {name} | {median:.3f} s | {min(secs):.3f} … {max(secs):.3f} s "
                f"| {median / ours:.1f} × | {memory:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
