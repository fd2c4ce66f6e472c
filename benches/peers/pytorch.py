"""Seconds for one epoch of the article's network in PyTorch, as one JSON line.

usage: pytorch.py eager|channels_last|compiled [epochs]
55,000 images in batches of 100 from random data, softmax cross-entropy, fused Adam, 2 threads;
the first epoch warms up and does not count.
"""
import json
import sys
import time

import torch
from torch import nn

torch.set_num_threads(2)
torch.manual_seed(0)


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


def main():
    mode, epochs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
    images = torch.rand(55_000, 1, 28, 28)
    labels = torch.randint(10, (55_000,))
    network = Article()
    if mode == "channels_last":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if mode == "compiled":
        network = torch.compile(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    loss_of = nn.CrossEntropyLoss()
    times = []
    for _ in range(epochs + 1):
        began = time.perf_counter()
        order = torch.randperm(55_000)
        for first in range(0, 55_000, 100):
            indices = order[first:first + 100]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network(images[indices]), labels[indices])
            loss.backward()
            optimizer.step()
        times.append(time.perf_counter() - began)
    print(json.dumps({"mode": mode, "torch": torch.__version__, "epoch_secs": times[1:]}))


main()
