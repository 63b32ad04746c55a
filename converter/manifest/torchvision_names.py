"""Which models and weights torchvision has, known without importing it.

`python -m converter.manifest.torchvision_names` writes the table anew from the installed torchvision.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("torchvision_models.json")


@cache
def torchvision_models() -> Mapping[str, Mapping[str, Any]]:
    """By builder: `task`, `default` (what DEFAULT stands for), its `parameters`, and `weights`, name to categories."""
    table: Mapping[str, Mapping[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def category_count(builder: str, weights: str | None) -> int | None:
    """How many categories the weights name; None where that is not known, 0 where they name none."""
    row = torchvision_models().get(builder)
    if row is None or weights is None:
        return None
    count: int | None = row["weights"].get(row["default"] if weights == "DEFAULT" else weights)
    return count


def parameter_count(builder: str) -> int | None:
    """How many parameters the model has with its default weights; None where the builder is not known."""
    row = torchvision_models().get(builder)
    return int(row["parameters"]) if row else None


def generate() -> str:
    """The table's text, made from the installed torchvision."""
    from torchvision import models

    rows = []
    for name in sorted(models.list_models()):
        enum = models.get_model_weights(name)
        chapter = models.get_model_builder(name).__module__.split(".")[2:]
        row = {
            "task": chapter[0] if len(chapter) > 1 else "classification",
            "default": enum.DEFAULT.name,
            "parameters": enum.DEFAULT.meta["num_params"],
            "weights": {weights.name: len(weights.meta.get("categories") or ()) for weights in enum},
        }
        rows.append(f"{json.dumps(name)}: {json.dumps(row)}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(generate(), encoding="utf-8")
