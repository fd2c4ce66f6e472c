"""The Python readers of `make bench-read`: reads all scalars below a directory and prints what it took.

usage: python.py accumulator|tbparse DIRECTORY

Prints `{"points": …, "secs": …}`; the seconds are those of reading alone, without the imports.
"""
import json
import sys
import time


def accumulator(directory):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    began = time.perf_counter()
    # 0 keeps every point.
    multiplexer = EventMultiplexer(size_guidance={"scalars": 0}).AddRunsFromDirectory(directory)
    multiplexer.Reload()
    points = sum(
        len(multiplexer.Scalars(run, tag)) for run, tags in multiplexer.Runs().items() for tag in tags["scalars"]
    )
    return points, time.perf_counter() - began


def tbparse(directory):
    from tbparse import SummaryReader

    began = time.perf_counter()
    return len(SummaryReader(directory, event_types={"scalars"}).scalars), time.perf_counter() - began


points, secs = {"accumulator": accumulator, "tbparse": tbparse}[sys.argv[1]](sys.argv[2])
print(json.dumps({"points": points, "secs": secs}))
