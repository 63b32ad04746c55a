"""Trains the digits network and writes everything beside this file that the manifest needs: `python train.py`.

The pictures are scikit-learn's bundled handwritten digits, so nothing is downloaded.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from model import build
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = 360
# Of the training pictures' pixels in 0..1 units, rounded; the manifest says the same to the app.
MEAN, STD = 0.3, 0.375
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 64, 0.01


def read_digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All 1797 pictures in a seeded order: uint8 [N, 8, 8] (0 to 255) and their digits [N]."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return pixels[order], digits.target[order]


def normalize(pixels: np.ndarray) -> torch.Tensor:
    """uint8 [N, 8, 8] to what the network takes, float32 [N, 1, 8, 8]."""
    return ((torch.from_numpy(pixels).float() / 255 - MEAN) / STD).unsqueeze(1)


def train(pixels: np.ndarray, digits: np.ndarray, seed: int) -> nn.Module:
    """The trained network in eval mode. One thread: with several, sums may be taken in another order."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, targets = normalize(pixels), torch.from_numpy(digits)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters())
    steps = EPOCHS * -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            loss = nn.functional.cross_entropy(network(images[batch]), targets[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def count_correct(network: nn.Module, pixels: np.ndarray, digits: np.ndarray) -> int:
    with torch.inference_mode():
        return int((network(normalize(pixels)).argmax(1).numpy() == digits).sum())


def write_heldout(path: Path, pixels: np.ndarray, digits: np.ndarray) -> None:
    """The labelled set; numpy stamps its archives with a fixed date, so equal pictures give equal bytes."""
    np.savez(path, image=pixels, labels=np.array(LABELS)[digits])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=here, help="folder to write to (default: this one)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the training (default: 0)")
    arguments = parser.parse_args()

    pixels, digits = read_digits(arguments.seed)
    network = train(pixels[:-HELD_OUT], digits[:-HELD_OUT], arguments.seed)
    held_out = pixels[-HELD_OUT:], digits[-HELD_OUT:]
    correct = count_correct(network, *held_out)

    save_file(network.state_dict(), arguments.output / "digits.safetensors")
    write_heldout(arguments.output / "heldout.npz", *held_out)
    (arguments.output / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    print(f"held-out accuracy: {correct} of {HELD_OUT} = {correct / HELD_OUT:.2%}")


if __name__ == "__main__":
    main()
