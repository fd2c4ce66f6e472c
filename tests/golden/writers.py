"""Writes tests/golden/writers/ with the event writers of other programs, and expected.json with what
TensorBoard's EventAccumulator reads from it.

    python tests/golden/writers.py pytorch      # torch 2.x
    python tests/golden/writers.py tensorboardx # tensorboardX 2.6
    python tests/golden/writers.py tensorflow   # TensorFlow 2.x, its Keras included
    python tests/golden/writers.py expected     # tensorboard 2.21.0

Each needs its package installed; the last is run when all files are there. Clock and names are
fixed, but for TensorFlow's clock, which Python cannot set.
"""

import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path

import numpy as np

WRITERS = Path(__file__).parent / "writers"
KINDS = ("scalars", "tensors", "histograms", "images", "audio")


def fix_surroundings() -> None:
    """A clock that stands still, and no trace of the machine."""
    time.time = lambda: 1_700_000_000.0
    socket.gethostname = lambda: "host"
    os.getpid = lambda: 1


def log(writer) -> None:
    """The same to every writer with PyTorch's methods."""
    picture = np.zeros((3, 2, 4), np.uint8)
    for step in range(3):
        writer.add_scalar("loss", 1 / (step + 1), step)
        writer.add_histogram("weights", np.arange(step, 10.0), step)
        writer.add_image("picture", picture + step, step)
    writer.add_text("note", "**bold** ü", 1)
    writer.add_scalar("loss", 9.0, 5)
    writer.add_pr_curve("curve", np.array([0, 1, 1]), np.array([0.1, 0.4, 0.9]), 2, num_thresholds=5)


def pytorch(directory: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(directory) as writer:
        log(writer)


def tensorboardx(directory: Path) -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(directory)) as writer:
        log(writer)


def tensorflow(directory: Path) -> None:
    import tensorflow as tf

    with tf.summary.create_file_writer(str(directory)).as_default():
        for step in range(3):
            tf.summary.scalar("loss", 1 / (step + 1), step)
            tf.summary.histogram("weights", np.arange(step, 10.0), step)
            tf.summary.image("picture", np.zeros((2, 2, 4, 3), np.uint8) + step, step)
        tf.summary.text("note", "**bold** ü", 1)
        tf.summary.scalar("loss", 9.0, 5)
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    keras = directory.with_name("keras")
    shutil.rmtree(keras, ignore_errors=True)
    callback = tf.keras.callbacks.TensorBoard(keras, write_graph=False, profile_batch=0)
    x = np.ones((4, 2), np.float32)
    model.fit(x, x[:, :1], epochs=2, verbose=0, validation_data=(x, x[:, :1]), callbacks=[callback])
    files = [*directory.rglob("*tfevents*"), *keras.rglob("*tfevents*")]
    for index, path in enumerate(sorted(files)):
        path.rename(path.with_name(f"events.out.tfevents.1700000000.host.1.{index}.v2"))


def expected(path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    runs = {}
    for directory in sorted({file.parent for file in WRITERS.rglob("*tfevents*")}):
        events = EventAccumulator(str(directory), {kind: 0 for kind in KINDS}).Reload()
        scalars = {
            tag: [[event.step, event.wall_time, event.value] for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        steps = {}
        images = {
            tag: [[event.step, event.width, event.height] for event in events.Images(tag)]
            for tag in events.Tags()["images"]
        }
        histograms = {
            tag: [[event.step, event.histogram_value.num] for event in events.Histograms(tag)]
            for tag in events.Tags()["histograms"]
        }
        for tag in events.Tags()["tensors"]:
            plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
            for event in events.Tensors(tag):
                array = make_ndarray(event.tensor_proto)
                if plugin == "scalars":
                    point = [event.step, event.wall_time, float(array)]
                    scalars.setdefault(tag, []).append(point)
                elif plugin == "images":
                    point = [event.step, int(array[0]), int(array[1])]
                    images.setdefault(tag, []).append(point)
                elif plugin == "histograms":
                    point = [event.step, float(array[:, 2].sum())]
                    histograms.setdefault(tag, []).append(point)
                else:
                    steps.setdefault(tag, []).append(event.step)
        name = directory.relative_to(WRITERS).as_posix()
        runs[name] = {"scalars": scalars, "images": images, "histograms": histograms, "others": steps}
    path.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")


def main() -> None:
    name = sys.argv[1]
    if name == "expected":
        return expected(WRITERS / "expected.json")
    fix_surroundings()
    directory = WRITERS / name
    shutil.rmtree(directory, ignore_errors=True)
    {"pytorch": pytorch, "tensorboardx": tensorboardx, "tensorflow": tensorflow}[name](directory)


if __name__ == "__main__":
    main()
