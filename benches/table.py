"""What `make bench` measured of each op, ours and candle's, as a table for docs/benchmarks.md.

usage: table.py CRITERION_DIR
"""

import json
import sys
from pathlib import Path


def read(directory):
    """For each op, each side's median with its 95 % confidence interval, in microseconds."""
    found = {}
    for path in directory.glob("*/*/new/estimates.json"):
        benchmark = json.loads(path.with_name("benchmark.json").read_text())
        median = json.loads(path.read_text())["median"]
        bounds = median["confidence_interval"]
        nanoseconds = [median["point_estimate"], bounds["lower_bound"], bounds["upper_bound"]]
        sides = found.setdefault(benchmark["group_id"], {})
        sides[benchmark["value_str"]] = [number / 1000 for number in nanoseconds]
    return found


def cell(side):
    return "{:.1f} µs ({:.1f} … {:.1f})".format(*side) if side else "–"


def main():
    (directory,) = sys.argv[1:]
    print("| op | cnn-tb, median (95 %) | candle, median (95 %) | candle / cnn-tb |")
    print("|---|---|---|---|")
    for op, sides in sorted(read(Path(directory)).items()):
        ours, candle = sides.get("cnn-tb"), sides.get("candle")
        ratio = f"{candle[0] / ours[0]:.2f}" if ours and candle else "–"
        print(f"| {op} | {cell(ours)} | {cell(candle)} | {ratio} |")


main()
