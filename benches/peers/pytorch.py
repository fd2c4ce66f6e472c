"""cnn-tb's networks in PyTorch, on 2 threads, with fused Adam and batches of 100.

usage: pytorch.py NETWORK MODE epochs EPOCHS PARTS
                                        seconds of each epoch, as one JSON line
       pytorch.py NETWORK MODE recipe IDX_DIR SEED
                                        cnn-tb's default recipe on MNIST, a JSON line for each epoch
NETWORK is what `cnn-tb network --json` prints; MODE is eager, channels_last or compiled.

`epochs` takes 55,000 random images to train on and 5,000 to evaluate; one more epoch warms up and does
not count. Of slow networks it takes one of PARTS parts of both, and their time by PARTS. `recipe` trains
on the original files of MNIST, whose first 5,000 images are for validation.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn

THREADS = 2
BATCH_SIZE = 100
TRAIN_IMAGES = 55_000
VALIDATION_IMAGES = 5_000
EVALUATION_BATCH_SIZE = 500

# cnn-tb's default recipe (`Preset::Default` in src/train/config.rs).
RECIPE_EPOCHS = 6
RECIPE_LEARNING_RATE = 0.006


def built(description):
    """The network that `cnn-tb network --json` describes."""
    return nn.Sequential(*modules(json.loads(description)))


def modules(network):
    shape = network["input"]
    for layer in network["layers"]:
        output = layer["output"]
        match layer["type"]:
            case "conv":
                kernel, padding = layer["kernel"], layer["padding"]
                padding = (kernel - 1) // 2 if padding == "same" else padding
                yield nn.Conv2d(shape[0], output[0], kernel, layer.get("stride", 1), padding)
            case "batch_norm":
                yield (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0])
            case "relu":
                yield nn.ReLU()
            case "max_pool":
                yield nn.MaxPool2d(layer["size"], layer.get("stride"))
            case "avg_pool":
                yield nn.AvgPool2d(layer["size"], layer.get("stride"))
            case "dropout":
                yield nn.Dropout(layer["rate"])
            case "linear":
                if len(shape) == 3:
                    yield nn.Flatten()
                yield nn.Linear(math.prod(shape), output[0])
            case other:
                sys.exit(f"no module for layers of type {other}")
        shape = output


def init_as_ours(network):
    """Normal weights of variance 2 / fan-in; the biases stay uniform within 1 / √fan-in."""
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.weight[0].numel()))


class Trainer:
    """A network in one of the modes, with its optimizer."""

    def __init__(self, network, mode, learning_rate):
        self.memory_format = torch.contiguous_format
        if mode == "channels_last":
            self.memory_format = torch.channels_last
            network = network.to(memory_format=self.memory_format)
        if mode == "compiled":
            network = torch.compile(network)
        self.network = network
        self.loss_of = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)

    def step(self, images, labels):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.network(images), labels)
        loss.backward()
        self.optimizer.step()

    def classes(self, images):
        """What the network takes the images for."""
        self.network.eval()
        with torch.no_grad():
            answers = [self.network(part).argmax(1) for part in images.split(EVALUATION_BATCH_SIZE)]
        self.network.train()
        return torch.cat(answers)


def time_epochs(network, mode, epochs, parts):
    trainer = Trainer(network, mode, 1e-4)
    train_images, validation_images = TRAIN_IMAGES // parts, VALIDATION_IMAGES // parts
    images = torch.rand(train_images, 1, 28, 28).to(memory_format=trainer.memory_format)
    labels = torch.randint(10, (train_images,))
    validation = torch.rand(validation_images, 1, 28, 28).to(memory_format=trainer.memory_format)
    secs = []
    for _ in range(epochs + 1):
        began = time.perf_counter()
        for indices in torch.randperm(train_images).split(BATCH_SIZE):
            trainer.step(images[indices], labels[indices])
        trainer.classes(validation)
        secs.append(parts * (time.perf_counter() - began))
    print(json.dumps({"epoch_secs": secs[1:]}))


def read_idx(path, header, shape):
    """The bytes after an IDX file's header, whose numbers MNIST's shape makes known."""
    return torch.frombuffer(bytearray(path.read_bytes()[header:]), dtype=torch.uint8).view(shape)


def shifted(padded, indices):
    """The images at `indices` out of 30×30 ones, each cut to 28×28 at a random place."""
    rows, columns = (torch.randint(3, (len(indices), 1)) + torch.arange(28) for _ in range(2))
    pixels = padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
    return pixels.unsqueeze(1) / 255


def train_recipe(network, mode, directory):
    images = read_idx(directory / "train-images-idx3-ubyte", 16, (-1, 28, 28))
    labels = read_idx(directory / "train-labels-idx1-ubyte", 8, (-1,)).long()
    padded = nn.functional.pad(images[VALIDATION_IMAGES:], (1, 1, 1, 1))
    train_labels = labels[VALIDATION_IMAGES:]
    validation = images[:VALIDATION_IMAGES].unsqueeze(1) / 255

    init_as_ours(network)
    trainer = Trainer(network, mode, RECIPE_LEARNING_RATE)
    validation = validation.to(memory_format=trainer.memory_format)
    updates = RECIPE_EPOCHS * math.ceil(len(padded) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        trainer.optimizer, RECIPE_LEARNING_RATE, total_steps=updates, cycle_momentum=False
    )
    for epoch in range(1, RECIPE_EPOCHS + 1):
        for indices in torch.randperm(len(padded)).split(BATCH_SIZE):
            batch = shifted(padded, indices).to(memory_format=trainer.memory_format)
            trainer.step(batch, train_labels[indices])
            schedule.step()
        answers = trainer.classes(validation)
        accuracy = (answers == labels[:VALIDATION_IMAGES]).double().mean().item()
        print(json.dumps({"epoch": epoch, "validation_accuracy": accuracy}), flush=True)


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network, mode, what, *arguments = sys.argv[1:]
    if what == "epochs":
        epochs, parts = arguments
        time_epochs(built(network), mode, int(epochs), int(parts))
    else:
        directory, seed = arguments
        torch.manual_seed(int(seed))
        train_recipe(built(network), mode, Path(directory))


main()
