"""Writes ImageNet's 1000 labels beside this file, in the two forms that people have: `python write_labels.py`.

Both come out of torchvision 0.22, so nothing is downloaded: the categories from the weights' own metadata, the WordNet
ids from its prototype data sets.
"""

import hashlib
import json
from pathlib import Path

import torchvision
from torchvision.models import MobileNet_V2_Weights

HERE = Path(__file__).parent
# The well-known file has two names twice, where torchvision's categories tell them apart.
DUPLICATES = {134: "crane", 639: "maillot"}
WELL_KNOWN_MD5 = "c2c37ea517e94d9795004a39431a14cb"  # as Keras checks its download

categories = MobileNet_V2_Weights.DEFAULT.meta["categories"]
(HERE / "labels.txt").write_text("\n".join(categories) + "\n", encoding="utf-8")

table = Path(torchvision.__file__).parent / "prototype" / "datasets" / "_builtin" / "imagenet.categories"
wordnet_ids = [line.rpartition(",")[2] for line in table.read_text(encoding="utf-8").splitlines()]
names = [category.replace(" ", "_") for category in categories]
for position, name in DUPLICATES.items():
    names[position] = name
index = {str(i): [*pair] for i, pair in enumerate(zip(wordnet_ids, names, strict=True))}
text = json.dumps(index)
if hashlib.md5(text.encode()).hexdigest() != WELL_KNOWN_MD5:
    raise SystemExit("this torchvision does not give the well-known file; it was made with torchvision 0.22.0")
(HERE / "imagenet_class_index.json").write_text(text, encoding="utf-8")
