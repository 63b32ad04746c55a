"""Writes scikit-learn's two sample photographs beside this file, scaled to 480 pixels width."""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

WIDTH = 480

for name in ("china.jpg", "flower.jpg"):
    image = Image.fromarray(load_sample_image(name))
    height = round(image.height * WIDTH / image.width)
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(Path(__file__).with_name(name), quality=85)
