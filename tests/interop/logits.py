"""Loads our weights into the same network in PyTorch and compares the logits.

usage: logits.py WEIGHTS < lines of {"image": [784 bytes], "logits": [10 numbers]}
"""

import json
import sys

import safetensors.torch
import torch
from torch import nn

IMAGES = 100
TOLERANCE = 1e-4


class Article(nn.Module):
    """The article's network; the names of its parameters are those of the file."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding="same")
        self.conv2 = nn.Conv2d(6, 16, 5, padding="same")
        self.fc1 = nn.Linear(16 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, images):
        x = nn.functional.max_pool2d(self.conv1(images), 2).relu()
        x = nn.functional.max_pool2d(self.conv2(x), 2).relu()
        return self.fc2(self.fc1(x.flatten(1)).relu())


def main():
    (weights,) = sys.argv[1:]
    lines = [json.loads(line) for line in sys.stdin]
    if len(lines) != IMAGES:
        sys.exit(f"{len(lines)} images, expected {IMAGES}")
    network = Article()
    # Strict: a tensor too many, too few or of another shape is an error.
    network.load_state_dict(safetensors.torch.load_file(weights))
    images = torch.tensor([line["image"] for line in lines]) / 255
    ours = torch.tensor([line["logits"] for line in lines])
    with torch.no_grad():
        theirs = network(images.view(-1, 1, 28, 28))
    largest = (ours - theirs).abs().max().item()
    print(f"{IMAGES} images: logits from {ours.min():.2f} to {ours.max():.2f}, "
          f"differ from PyTorch's by at most {largest:.1e}")
    # A NaN is no agreement.
    if not largest <= TOLERANCE:
        sys.exit(f"they may differ by {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
