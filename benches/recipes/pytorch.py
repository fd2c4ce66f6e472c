"""Trains the article's network in PyTorch by the article's recipe; one JSON line an epoch, one at the end.

usage: pytorch.py DIR EPOCHS SEED
DIR holds what benches/recipes/initial_weights.rs writes: the weights to start from, and the images.
Adam at 1e-4, batches of 100, softmax cross-entropy. SEED decides the order of the images.
"""
import json
import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "tests/interop"))
from logits import Article  # noqa: E402

torch.set_num_threads(2)


def read(directory, split):
    def tensor(kind):
        return torch.frombuffer(bytearray((directory / f"{split}.{kind}").read_bytes()), dtype=torch.uint8)

    return tensor("images").view(-1, 1, 28, 28) / 255, tensor("labels").long()


@torch.no_grad()
def accuracy(network, images, labels):
    right = sum((network(i).argmax(1) == l).sum() for i, l in zip(images.split(500), labels.split(500)))
    return right.item() / len(labels)


def main():
    directory, epochs, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(seed)
    network = Article()
    network.load_state_dict(safetensors.torch.load_file(directory / "weights.safetensors"))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    images, labels = read(directory, "train")
    for epoch in range(1, epochs + 1):
        for indices in torch.randperm(len(labels)).split(100):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(network(images[indices]), labels[indices]).backward()
            optimizer.step()
        validation = accuracy(network, *read(directory, "validation"))
        print(json.dumps({"epoch": epoch, "validation_accuracy": validation}), flush=True)
    print(json.dumps({"test_accuracy": accuracy(network, *read(directory, "test"))}))


main()
