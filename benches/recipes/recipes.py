"""What the two recipes reach: the default one over seeds, the article's beside PyTorch's training.

usage: recipes.py CNN_TB INITIAL_WEIGHTS [--seeds N] [--epochs N] [--article-seeds N] [--article-epochs N]
CNN_TB is the program, INITIAL_WEIGHTS the example of benches/recipes. Without options the recipes are
trained as they are: the default one for 10 seeds, the article's 100 epochs for 3. The article's
trainings start in PyTorch from our initial weights; only the order of the images differs.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ACCURACY = 0.99
SECS = 6.0
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


def default_recipe(program, seeds, settings):
    print("The default recipe\n")
    print("| seed | test accuracy | whole process |\n|---|---|---|")
    results = []
    for seed in range(1, seeds + 1):
        accuracy, secs = ours(program, seed, *settings)
        results.append((accuracy, secs))
        print(f"| {seed} | {accuracy:.2%} | {secs:.2f} s |", flush=True)
    accurate = sum(accuracy >= ACCURACY for accuracy, _ in results)
    fast = sum(secs <= SECS for _, secs in results)
    print(f"\n{accurate} of {seeds} reach {ACCURACY:.1%}, {fast} of {seeds} end within {SECS:.0f} s.\n")


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
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, help="of the default recipe")
    parser.add_argument("--article-seeds", type=int, default=3)
    parser.add_argument("--article-epochs", type=int, default=100)
    options = parser.parse_args()
    settings = ["--epochs", str(options.epochs)] if options.epochs else []
    default_recipe(options.program, options.seeds, settings)
    article_recipe(options.program, options.initial_weights, options.article_seeds, options.article_epochs)


main()
