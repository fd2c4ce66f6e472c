"""cnn-tb's reader against others, in turn in one run: a section for docs/benchmarks.md on standard output.

usage: read.py READ_PEER CNN_TB [--rounds N] [--points N] [--slow-rounds N]

READ_PEER is benches/read/peer.rs, CNN_TB the program; `make bench-read` builds both and calls this with
the interpreter of a virtual environment that holds the peers. Every logdir is written by cnn-tb into a
temporary directory first, which the system then holds in memory.

What is timed: of cnn-tb the whole process; of TensorBoard's data server from the start of the process to
the end of its first load; of the Python readers the reading alone, without the imports.
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
from pathlib import Path

import tensorboard_data_server

ROOT = Path(__file__).parents[2]
PYTHON_READERS = Path(__file__).with_name("python.py")
OURS = "cnn-tb"
KEPT = "--samples-per-plugin=scalars=all"


def finish(process):
    """Waits for the end; gives the peak resident memory in MB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, -15):
        sys.exit(f"{' '.join(map(str, process.args))} ended with status {process.returncode}")
    return usage.ru_maxrss / 1024


def our_read(peer, logdir):
    began = time.perf_counter()
    process = subprocess.Popen([peer, "read", logdir], stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    memory = finish(process)
    secs = time.perf_counter() - began
    return json.loads(output)["points"], secs, memory


def data_server(logdir, *flags):
    """TensorBoard's data server, which says itself when it has loaded all; how many points it does not say."""
    command = [tensorboard_data_server.server_binary(), "--logdir", logdir, "--port=0", "--reload=once", "-v", *flags]
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "Finished load cycle" in line:
            break
    secs = time.perf_counter() - began
    process.terminate()
    process.stderr.read()
    return None, secs, finish(process)


def python_reader(name, logdir):
    command = [sys.executable, PYTHON_READERS, name, logdir]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    result = json.loads(process.stdout.read())
    return result["points"], result["secs"], finish(process)


def our_list(program, logdir):
    began = time.perf_counter()
    process = subprocess.Popen([program, "ls", logdir], stdout=subprocess.DEVNULL)
    memory = finish(process)
    return None, time.perf_counter() - began, memory


def measure(peers, expected):
    """Seconds and peak memory of each peer, which is a reader and the rounds that it takes part in."""
    found = {name: ([], 0.0) for name in peers}
    for number in range(max(rounds for _, rounds in peers.values())):
        for name, (reader, rounds) in peers.items():
            if number >= rounds:
                continue
            print(f"round {number + 1}: {name}", file=sys.stderr)
            points, secs, memory = reader()
            if points not in (None, expected):
                sys.exit(f"{name} read {points} points, not {expected}")
            times, most = found[name]
            times.append(secs)
            found[name] = times, max(most, memory)
    return found


def print_table(title, found):
    ours = statistics.median(found[OURS][0])
    print(f"\n### {title}\n\n| | median | fastest … slowest | against cnn-tb | peak memory |\n|---|---|---|---|---|")
    for name, (secs, memory) in found.items():
        median = statistics.median(secs)
        print(
            f"| {name} | {median:.3f} s | {min(secs):.3f} … {max(secs):.3f} s | {median / ours:.1f} | {memory:.0f} MB |",
            flush=True,
        )


def write(peer, directory, runs, points):
    subprocess.run([peer, "write", directory, str(runs), str(points)], check=True)
    return directory


def compare_readers(options, directory, runs, points):
    logdir = write(options.peer, f"{directory}/{runs}x{points}", runs, points)
    megabytes = sum(file.stat().st_size for file in Path(logdir).rglob("*tfevents*")) / 1e6
    peers = {
        OURS: (lambda: our_read(options.peer, logdir), options.rounds),
        "TensorBoard's data server, all points": (lambda: data_server(logdir, KEPT), options.rounds),
        "the same, with checksums": (lambda: data_server(logdir, KEPT, "--checksum"), options.rounds),
        "the same, 1,000 points a series": (lambda: data_server(logdir), options.rounds),
        "TensorBoard's EventAccumulator": (lambda: python_reader("accumulator", logdir), options.slow_rounds),
        "tbparse": (lambda: python_reader("tbparse", logdir), options.slow_rounds),
    }
    found = measure(peers, runs * points)
    print_table(f"{runs:,} × {points:,} points ({megabytes:.0f} MB)", found)


def our_own(options, directory):
    """What there is no peer for: ten times as many points, and a listing of many runs."""
    print("\n### cnn-tb alone\n\n| | median | fastest … slowest | peak memory |\n|---|---|---|---|")
    cases = [
        (1, 10 * options.points, "read", lambda logdir: our_read(options.peer, logdir)),
        (1_000, 1_000, "`cnn-tb ls`", lambda logdir: our_list(options.program, logdir)),
    ]
    for runs, points, what, reader in cases:
        logdir = write(options.peer, f"{directory}/{runs}x{points}", runs, points)
        secs, memory = zip(*(reader(logdir)[1:] for _ in range(options.rounds)))
        print(
            f"| {what}, {runs:,} × {points:,} points | {statistics.median(secs):.3f} s "
            f"| {min(secs):.3f} … {max(secs):.3f} s | {max(memory):.0f} MB |",
            flush=True,
        )


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def print_heading(options):
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cpu = cpu.group(1) if cpu else platform.machine()
    print(f"Measured on {datetime.date.today()} by `make bench-read` on {cpu}, {os.cpu_count()} processors,")
    print(f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the start:")
    print(f"{output_of(options.program, '--version')} at {output_of('git', 'describe', '--always', '--dirty')},")
    peers = " ".join(line for line in output_of(sys.executable, "-m", "pip", "freeze").splitlines() if "tb" in line or "tensorboard" in line)
    print(f"{peers}, Python {platform.python_version()}, {output_of('rustc', '--version')}.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the fast readers (%(default)s)")
    parser.add_argument("--slow-rounds", type=int, default=1, help="of the Python readers (%(default)s)")
    parser.add_argument("--points", type=int, default=1_000_000, help="points of a logdir (%(default)s)")
    options = parser.parse_args()
    options.peer, options.program = options.peer.resolve(), options.program.resolve()
    print_heading(options)
    with tempfile.TemporaryDirectory() as directory:
        compare_readers(options, directory, 1, options.points)
        compare_readers(options, directory, 10, options.points // 10)
        our_own(options, directory)


main()
