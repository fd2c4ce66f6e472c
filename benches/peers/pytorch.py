"""The article's network in PyTorch, on 2 threads, with fused Adam and batches of 100.

usage: pytorch.py MODE epochs EPOCHS    seconds of each epoch, as one JSON line
       pytorch.py MODE recipe IDX_DIR SEED
                                        cnn-tb's default recipe on MNIST, a JSON line for each epoch
MODE is eager, channels_last or compiled.

`epochs` takes 55,000 random images to train on and 5,000 to evaluate; one more epoch warms up and does
not count. `recipe` reads the original files of MNIST; the first 5,000 images are for validation.
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


class Article(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=2)
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = torch.relu(torch.max_pool2d(self.conv1(x), 2))
        x = torch.relu(torch.max_pool2d(self.conv2(x), 2))
        x = torch.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)

    def init_as_ours(self):
        """Normal weights of variance 2 / fan-in; the biases stay uniform within 1 / √fan-in."""
        for layer in self.children():
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
        with torch.no_grad():
            return torch.cat([self.network(part).argmax(1) for part in images.split(EVALUATION_BATCH_SIZE)])


def time_epochs(mode, epochs):
    trainer = Trainer(Article(), mode, 1e-4)
    images = torch.rand(TRAIN_IMAGES, 1, 28, 28).to(memory_format=trainer.memory_format)
    labels = torch.randint(10, (TRAIN_IMAGES,))
    validation = torch.rand(VALIDATION_IMAGES, 1, 28, 28).to(memory_format=trainer.memory_format)
    secs = []
    for _ in range(epochs + 1):
        began = time.perf_counter()
        for indices in torch.randperm(TRAIN_IMAGES).split(BATCH_SIZE):
            trainer.step(images[indices], labels[indices])
        trainer.classes(validation)
        secs.append(time.perf_counter() - began)
    print(json.dumps({"epoch_secs": secs[1:]}))


def read_idx(path, header, shape):
    """The bytes after an IDX file's header, whose numbers MNIST's shape makes known."""
    return torch.frombuffer(bytearray(path.read_bytes()[header:]), dtype=torch.uint8).view(shape)


def shifted(padded, indices):
    """The images at `indices` out of 30×30 ones, each cut to 28×28 at a random place."""
    rows, columns = (torch.randint(3, (len(indices), 1)) + torch.arange(28) for _ in range(2))
    pixels = padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
    return pixels.unsqueeze(1) / 255


def train_recipe(mode, directory, seed):
    torch.manual_seed(seed)
    images = read_idx(directory / "train-images-idx3-ubyte", 16, (-1, 28, 28))
    labels = read_idx(directory / "train-labels-idx1-ubyte", 8, (-1,)).long()
    padded = nn.functional.pad(images[VALIDATION_IMAGES:], (1, 1, 1, 1))
    train_labels = labels[VALIDATION_IMAGES:]
    validation = images[:VALIDATION_IMAGES].unsqueeze(1) / 255

    network = Article()
    network.init_as_ours()
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
    mode, what, *arguments = sys.argv[1:]
    if what == "epochs":
        time_epochs(mode, int(arguments[0]))
    else:
        train_recipe(mode, Path(arguments[0]), int(arguments[1]))


main()
