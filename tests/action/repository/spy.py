"""A model whose code looks at what it could take, and leaves it in a folder; it needs a package of the user's own."""

import json
import os
from pathlib import Path

import einops
import torch
from torch import nn


class Mean(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))


def build() -> nn.Module:
    folder = Path(os.environ["STAND_INS"]) / "spied"
    folder.mkdir(exist_ok=True)
    started = dict(
        pair.split("=", 1) for pair in Path("/proc/self/environ").read_text(errors="replace").split("\0") if "=" in pair
    )
    seen = {"now": dict(os.environ), "started": started, "einops": einops.__version__, "argv": list(os.sys.argv)}
    (folder / f"{os.getpid()}.json").write_text(json.dumps(seen))
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), Mean())
