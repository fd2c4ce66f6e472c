"""Writes tests/golden/pytorch/ with PyTorch's SummaryWriter (torch 2.x, tensorboard 2.21.0).

    python tests/golden/pytorch.py

Clock, host name and process number are fixed: the bytes are the same on every machine, but for the
order in which protobuf's hash map gives the settings.
"""

import os
import shutil
import socket
import time
from pathlib import Path

now = 1_700_000_000.0
time.time = lambda: now
socket.gethostname = lambda: "host"
os.getpid = lambda: 1

from torch.utils.tensorboard import SummaryWriter  # noqa: E402  (after the patches)

LOGDIR = Path(__file__).parent / "pytorch"

# name: settings, then by epoch (validation accuracy, validation loss)
RUNS = {
    "resnet": (
        {"lr": 0.01, "batch_size": 64, "model": "resnet18", "augment": True},
        [(0.5, 1.2), (0.875, 0.375), (0.75, 0.25)],
    ),
    "vgg": (
        {"lr": 0.001, "batch_size": 64, "model": "vgg11", "dropout": 0.5},
        [(0.25, 2.0), (0.625, 1.0), (0.8125, 0.5)],
    ),
}


def seconds(number: float) -> None:
    """Lets time pass."""
    global now
    now += number


def main() -> None:
    shutil.rmtree(LOGDIR, ignore_errors=True)
    for name, (hparams, epochs) in RUNS.items():
        with SummaryWriter(LOGDIR / name) as writer:
            for step, (accuracy, loss) in enumerate(epochs):
                seconds(30)
                writer.add_scalar("Loss/train", loss / 2, step)
                writer.add_scalar("Loss/val", loss, step)
                writer.add_scalar("Accuracy/val", accuracy, step)
            writer.add_hparams(hparams, {"hparam/accuracy": epochs[-1][0]}, run_name="hparams")
    # Other names, per cent, the newer storage, and no settings.
    seconds(30)
    with SummaryWriter(LOGDIR / "lenet") as writer:
        for step, (accuracy, loss) in enumerate([(60.0, 1.5), (90.5, 0.75)]):
            writer.add_scalar("val_acc", accuracy, step, new_style=True)
            writer.add_scalar("val_loss", loss, step, new_style=True, double_precision=True)
            writer.add_scalar("test_accuracy", accuracy - 1, step)
            seconds(90)


if __name__ == "__main__":
    main()
