"""Writes tests/golden/writers/ with the event writers of other programs, and expected.json with what
TensorBoard's EventAccumulator reads from it.

    python tests/golden/writers.py pytorch      # torch 2.15.0
    python tests/golden/writers.py tensorboardx # tensorboardX 2.6.5
    python tests/golden/writers.py tensorflow   # TensorFlow 2.x, its Keras included
    python tests/golden/writers.py tensorboard  # tensorboard 2.21.0 without TensorFlow, Pillow 13.0.0
    python tests/golden/writers.py lightning    # lightning 2.6.6
    python tests/golden/writers.py expected     # tensorboard 2.21.0, PyYAML 6.0.4

Each needs its package installed; the last is run when all files are there, those of
tests/golden/crates too. Clock and names are fixed, so that the bytes are the same on every machine,
but for TensorFlow's clock, which Python cannot set, and the order in which protobuf's hash map gives
the settings. expected.json stays the same then.
"""

import io
import json
import os
import shutil
import socket
import sys
import time
import wave
from pathlib import Path

import numpy as np

WRITERS = Path(__file__).parent / "writers"
HPARAMS = {"lr": 0.01, "batch_size": 64, "model": "resnet18", "augment": True}


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
        writer.add_histogram("weights", np.arange(step + 1, 10.0), step)
        writer.add_image("picture", picture + step, step)
    writer.add_text("note", "**bold** ü", 1)
    writer.add_scalar("loss", 9.0, 5)
    writer.add_pr_curve("curve", np.array([0, 1, 1]), np.array([0.1, 0.4, 0.9]), 2, num_thresholds=5)


def pytorch(directory: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(directory) as writer:
        log(writer)
        writer.add_audio("tone", np.array([0.0, 0.5, -0.5]), 1, sample_rate=8000)
        writer.add_scalar("new", 0.25, 1, new_style=True)
        writer.add_scalar("new", 0.1, 2, new_style=True, double_precision=True)
        writer.add_hparams(HPARAMS, {"hparam/accuracy": 0.75}, run_name="trial")


def tensorboardx(directory: Path) -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(directory)) as writer:
        log(writer)
        writer.add_hparams(HPARAMS, {"hparam/accuracy": 0.75}, name="trial")


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


def tensorboard(directory: Path) -> None:
    """What there are `pb` functions for, and images and audio by their plugins' metadata."""
    from PIL import Image
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.audio import metadata as audio
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.plugins.hparams import metadata as hparams
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.image import metadata as image
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary import Writer
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    def add(summary, step: int) -> None:
        # Some are of TensorFlow's class, or of its stand-in.
        summary = summary_pb2.Summary.FromString(summary.SerializeToString())
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def add_tensor(tag: str, metadata, tensor, step: int) -> None:
        value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        add(summary_pb2.Summary(value=[value]), step)

    writer = EventFileWriter(str(directory))
    add(hparams_pb(HPARAMS, start_time_secs=time.time()), 0)
    for step in range(3):
        add(scalar_pb("loss", 1 / (step + 1)), step)
        add(histogram_pb("weights", np.arange(step, 10.0), buckets=4), step)
        files = []
        for grey in (step, 255 - step):
            file = io.BytesIO()
            Image.new("L", (4, 2), grey).save(file, "png")
            files.append(file.getvalue())
        metadata = image.create_summary_metadata(display_name=None, description=None)
        add_tensor("picture", metadata, make_tensor_proto([b"4", b"2", *files]), step)
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setparams((1, 2, 8000, 0, "NONE", None))
        clip.writeframes(np.array([0, 16384, -16384], "<i2").tobytes())
    metadata = audio.create_summary_metadata(None, None, audio.Encoding.Value("WAV"))
    add_tensor("tone", metadata, make_tensor_proto([[file.getvalue(), b"a label"]]), 1)
    add(text_pb("note", "**bold** ü"), 1)
    add(text_pb("table", np.array([["a", "b"], ["1", "2"]])), 1)
    confusion = np.array([[5.0, 1.0], [2.0, 7.0]], np.float32)
    add_tensor("confusion", None, make_tensor_proto(confusion), 2)
    add(scalar_pb("loss", 9.0), 5)
    # The steps go back: what was logged from there on is dropped.
    add(scalar_pb("again", 1.0), 1)
    add(scalar_pb("again", 2.0), 2)
    add(scalar_pb("again", 3.0), 2)
    add(scalar_pb("again", 4.0), 3)
    end = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time() + 60)
    metadata = hparams.create_summary_metadata(HParamsPluginData(session_end_info=end))
    add_tensor(hparams.SESSION_END_INFO_TAG, metadata, hparams.NULL_TENSOR, 0)
    writer.close()
    # The newest interface, which has scalars alone.
    writer = Writer(str(directory / "scalars"))
    for step in range(3):
        writer.add_scalar("loss", 1 / (step + 1), step, description="of a batch")
    writer.close()


def lightning(directory: Path) -> None:
    """Two versions, of which the second keeps its settings in hparams.yaml alone."""
    import torch
    from lightning.pytorch import LightningModule, Trainer, seed_everything
    from lightning.pytorch.loggers import TensorBoardLogger

    class Line(LightningModule):
        def __init__(self, lr: float, batch_size: int, model: str, augment: bool, layers: list):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)

        def loss(self, name: str, batch) -> torch.Tensor:
            loss = self.layer(batch).square().mean()
            self.log(name, loss, batch_size=len(batch))
            return loss

        def training_step(self, batch, _):
            return self.loss("train_loss", batch)

        def validation_step(self, batch, _):
            self.loss("val_loss", batch)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.hparams.lr)

    for has_metric in (True, False):
        seed_everything(1)
        model = Line(**HPARAMS, layers=[16, 8])
        # In lightning/version_0 and lightning/version_1.
        logger = TensorBoardLogger(
            directory.parent, name=directory.name, default_hp_metric=has_metric
        )
        trainer = Trainer(
            accelerator="cpu",
            logger=logger,
            max_epochs=2,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        batches = torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2)
        trainer.fit(model, batches, batches)


def expected(path: Path) -> None:
    directories = sorted({file.parent for file in WRITERS.rglob("*tfevents*")})
    runs = {directory.relative_to(WRITERS).as_posix(): read(directory) for directory in directories}
    path.write_text(as_lines(runs, depth=3) + "\n")


def read(directory: Path) -> dict:
    """A run by kind and tag. The accumulator is the one behind TensorBoard's pages, which brings old
    forms of values into the new ones."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(directory), {"tensors": 0}).Reload()
    run = {kind: {} for kind in ("scalars", "images", "audio", "histograms", "text", "others")}
    for tag in events.Tags()["tensors"]:
        metadata = events.AllSummaryMetadata().get(tag)
        plugin = metadata.plugin_data.plugin_name if metadata else ""
        if plugin == "hparams":
            continue
        kind = plugin if plugin in run else "others"
        run[kind][tag] = [
            [event.step, event.wall_time, value_of(kind, make_ndarray(event.tensor_proto))]
            for event in events.Tensors(tag)
        ]
    run["session"] = session(events) or settings_of(directory / "hparams.yaml")
    return run


def value_of(kind: str, array: np.ndarray):
    """As JSON, in 32 bits where the accumulator rounds to so many; of files their checksums."""
    if kind == "scalars":
        return float(np.float32(array))
    if kind == "images":
        return [int(array[0]), int(array[1]), [checksum(file) for file in array[2:]]]
    if kind == "audio":
        return [checksum(clip) for clip in array.reshape(len(array), -1)[:, 0]]
    if kind == "histograms":
        return array.astype(np.float32).tolist()
    if kind == "text":
        return "\n".join(text.decode() for text in array.ravel())
    return array.ravel().tolist()


def checksum(file: bytes) -> int:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return int(masked_crc32c(file))


def session(events) -> dict | None:
    """Settings, and times in seconds where they are known."""
    from tensorboard.plugins.hparams import metadata

    tags = events.PluginTagToContent("hparams") if "hparams" in events.ActivePlugins() else {}
    if metadata.SESSION_START_INFO_TAG not in tags:
        return None
    start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
    end = metadata.parse_session_end_info_plugin_data(tags[metadata.SESSION_END_INFO_TAG])
    hparams = start.hparams.items()
    return {
        "hparams": {name: getattr(value, value.WhichOneof("kind")) for name, value in hparams},
        "start_time_secs": start.start_time_secs or None,
        "end_time_secs": end.end_time_secs or None,
    }


def settings_of(path: Path) -> dict | None:
    """The flat ones in a file of Lightning's, which TensorBoard does not read."""
    if not path.exists():
        return None
    import yaml

    settings = yaml.safe_load(path.read_text()).items()
    flat = {name: value for name, value in settings if isinstance(value, (bool, float, int, str))}
    numbers = {name: float(value) for name, value in flat.items() if type(value) is int}
    return {"hparams": flat | numbers, "start_time_secs": None, "end_time_secs": None}


def as_lines(value, depth: int, indent: str = "") -> str:
    """JSON with a line for each entry, down to `depth`."""
    if depth == 0 or not value:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    inner = indent + " "
    entries = [
        f"{inner}{json.dumps(key)}: {as_lines(value[key], depth - 1, inner)}" for key in sorted(value)
    ]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def main() -> None:
    name = sys.argv[1]
    if name == "expected":
        return expected(WRITERS / "expected.json")
    fix_surroundings()
    directory = WRITERS / name
    shutil.rmtree(directory, ignore_errors=True)
    writers = [pytorch, tensorboardx, tensorflow, tensorboard, lightning]
    {writer.__name__: writer for writer in writers}[name](directory)


if __name__ == "__main__":
    main()
