"""Draws pictures, trains the network on them, and writes weights, labels and held-out pictures: `python train.py`."""

import argparse
from pathlib import Path

import numpy as np
import torch
from model import LABELS, build
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import save_file
from torch import nn

SIZE, RESIZE = 32, 36  # the crop, and the shorter side before it; the manifest says the same to the app
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TRAINED, HELD_OUT = 250, 5  # pictures of each label
EPOCHS, BATCH_SIZE, LEARNING_RATE = 8, 48, 0.02
COLORS = {"red": (205, 50, 45), "green": (60, 165, 70), "blue": (45, 60, 200)}
RADII = {"small": (5.5, 7.0), "large": (11.0, 13.5)}  # in pixels of the crop


def draw(label: str, random: np.random.Generator) -> Image.Image:
    """One picture of 64 x 48 pixels, upright or lying, with one shape on a soft background."""
    size, color, form = label.split()
    width, height = (64, 48) if random.random() < 0.5 else (48, 64)
    coarse = random.uniform(100, 160, (3, 3, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    scale = 48 / RESIZE
    radius = scale * random.uniform(*RADII[size])
    room = scale * SIZE / 2 - 0.8 * radius
    x, y = (side / 2 + random.uniform(-room, room) for side in (width, height))
    fill = tuple(int(np.clip(c + random.normal(0, 12), 0, 255)) for c in COLORS[color])
    shape, arm = ImageDraw.Draw(picture), 0.35 * radius
    if form == "disc":
        shape.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        shape.rectangle((x - radius, y - arm, x + radius, y + arm), fill=fill)
        shape.rectangle((x - arm, y - radius, x + arm, y + radius), fill=fill)
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def crop(picture: Image.Image) -> np.ndarray:
    """What the app hands over: the shorter side at RESIZE pixels, and the centre of that; uint8 [32, 32, 3]."""
    factor = RESIZE / min(picture.size)
    scaled = picture.resize((int(picture.width * factor), int(picture.height * factor)), Image.Resampling.BILINEAR)
    left, upper = round((scaled.width - SIZE) / 2), round((scaled.height - SIZE) / 2)
    return np.asarray(scaled.crop((left, upper, left + SIZE, upper + SIZE)))


def normalize(pixels: np.ndarray) -> torch.Tensor:
    """uint8 [N, 32, 32, 3] to what the network takes, float32 [N, 3, 32, 32]."""
    scaled = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def train(pixels: np.ndarray, classes: np.ndarray, seed: int) -> nn.Module:
    """The trained network in eval mode. One thread: with several, sums may be taken in another order."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, targets = normalize(pixels), torch.from_numpy(classes)
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


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=here, help="folder to write to (default: this one)")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures and of the training (default: 0)")
    arguments = parser.parse_args()

    random = np.random.default_rng(arguments.seed)
    labels = [label for label in LABELS for _ in range(TRAINED)]
    pixels = np.stack([crop(draw(label, random)) for label in labels])
    network = train(pixels, np.repeat(np.arange(len(LABELS)), TRAINED), arguments.seed)
    save_file(network.state_dict(), arguments.output / "shapes.safetensors")
    (arguments.output / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")

    random = np.random.default_rng((arguments.seed, 1))
    correct = 0
    for index, label in enumerate(LABELS):
        folder = arguments.output / "heldout" / label
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(HELD_OUT):
            file = folder / f"{number}.jpg"
            draw(label, random).save(file, quality=85)
            with torch.inference_mode(), Image.open(file) as picture:
                correct += int(network(normalize(crop(picture)[None])).argmax()) == index
    print(f"held-out accuracy: {correct} of {HELD_OUT * len(LABELS)}")


if __name__ == "__main__":
    main()
