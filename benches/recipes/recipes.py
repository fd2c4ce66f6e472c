"""What the recipes reach on the test images: ours over seeds, the article's beside PyTorch's training.

usage: recipes.py CNN_TB INITIAL_WEIGHTS [--only RECIPE ...] [--seeds N] [--article-epochs N]
CNN_TB is the program, INITIAL_WEIGHTS the example of benches/recipes. The article's trainings start in
PyTorch from our initial weights; only the order of the images differs.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Recipe:
    """A recipe, and what is asked of it."""

    seeds: int
    accuracy: float
    secs: float


RECIPES = {"default": Recipe(10, 0.99, 6), "sprint": Recipe(10, 0.99, 2), "deep": Recipe(3, 0.996, 15 * 60)}
ARTICLE_SEEDS = 3
PYTORCH = Path(__file__).with_name("pytorch.py")


def run(command):
    """Runs a command; gives its last line of output, read as JSON, and the seconds of the whole process."""
    began = time.perf_counter()
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.returncode != 0:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return json.loads(process.stdout.splitlines()[-1]), time.perf_counter() - began


def ours(program, seed, *settings):
    """Test accuracy and seconds of one training."""
    with tempfile.TemporaryDirectory() as directory:
        logdir = os.path.join(directory, "run")
        command = [program, "train", "--seed", str(seed), "--json", "--logdir", logdir, *settings]
        result, secs = run(command)
    return result["test"]["accuracy"], secs


def pytorch(initial_weights, seed, epochs):
    """As `ours`, in PyTorch from the same start."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([initial_weights, str(seed), directory], check=True)
        command = [sys.executable, str(PYTORCH), directory, str(epochs), str(seed)]
        result, secs = run(command)
    return result["test_accuracy"], secs


def our_recipe(program, name, seeds):
    recipe = RECIPES[name]
    seeds = seeds or recipe.seeds
    print(f"The recipe {name}\n")
    print("| seed | test accuracy | whole process |\n|---|---|---|")
    results = []
    for seed in range(1, seeds + 1):
        accuracy, secs = ours(program, seed, "--preset", name)
        results.append((accuracy, secs))
        print(f"| {seed} | {accuracy:.2%} | {secs:.2f} s |", flush=True)
    mean = statistics.mean(accuracy for accuracy, _ in results)
    accurate = sum(accuracy >= recipe.accuracy for accuracy, _ in results)
    fast = sum(secs <= recipe.secs for _, secs in results)
    print(f"\nMean {mean:.3%}; {accurate} of {seeds} reach {recipe.accuracy:.1%}, {fast} of {seeds} end within "
          f"{recipe.secs:.0f} s.\n")


def article_recipe(program, initial_weights, seeds, epochs):
    print(f"The article's recipe, {epochs} epochs\n")
    print("| seed | test accuracy | PyTorch's | seconds | PyTorch's |\n|---|---|---|---|---|")
    both = []
    for seed in range(1, seeds + 1):
        accuracy, secs = ours(program, seed, "--preset", "article", "--epochs", str(epochs))
        theirs, their_secs = pytorch(initial_weights, seed, epochs)
        both.append((accuracy, theirs))
        print(f"| {seed} | {accuracy:.2%} | {theirs:.2%} | {secs:.1f} | {their_secs:.1f} |", flush=True)
    mean, their_mean = (statistics.mean(column) for column in zip(*both))
    points = 100 * (mean - their_mean)
    print(f"\nMeans {mean:.3%} and {their_mean:.3%}: they differ by {points:+.3f} percentage points.")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("initial_weights")
    parser.add_argument("--only", nargs="+", choices=[*RECIPES, "article"], default=[*RECIPES, "article"])
    parser.add_argument("--seeds", type=int, help="of each recipe; without it 3 for deep and article, else 10")
    parser.add_argument("--article-epochs", type=int, default=100)
    options = parser.parse_args()
    for name in RECIPES:
        if name in options.only:
            our_recipe(options.program, name, options.seeds)
    if "article" in options.only:
        seeds = options.seeds or ARTICLE_SEEDS
        article_recipe(options.program, options.initial_weights, seeds, options.article_epochs)


main()
