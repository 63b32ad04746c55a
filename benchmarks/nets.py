"""The networks of the benchmarks, with seeded random weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Net:
    """A model of a benchmark: `make` gives the torch module, `shape` is its input's; `tokens` are below that number."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    tokens: int = 0


def of_torchvision(name: str) -> Callable[[], Any]:
    def make() -> Any:
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    return make


def transformer(width: int, blocks: int = 64) -> Callable[[], Any]:
    """Blocks of attention (heads of 64) and a GELU network four times as wide."""

    def make() -> Any:
        import torch
        from torch.nn import functional

        class Block(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.before, self.between = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
                self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
                self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

            def forward(self, x: Any) -> Any:
                heads = self.qkv(self.before(x)).reshape(1, -1, 3, width // 64, 64).permute(2, 0, 3, 1, 4)
                mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
                x = x + self.out(mixed.transpose(1, 2).reshape(1, -1, width))
                return x + self.down(functional.gelu(self.up(self.between(x))))

        return torch.nn.Sequential(*(Block() for _ in range(blocks)))

    return make


def bert_base() -> Any:
    import torch
    from transformers import BertConfig, BertModel

    class LastState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(BertConfig(attn_implementation="eager"), add_pooling_layer=False)

        def forward(self, tokens: Any) -> Any:
            return self.bert(tokens)[0]

    return LastState()


def module_and_input(net: Net) -> tuple[Any, Any]:
    """The module, in evaluation, and an input; batch norms know the statistics of that input."""
    import torch

    torch.manual_seed(0)
    module = net.make()
    if net.tokens:
        return module.eval(), torch.randint(0, net.tokens, net.shape)
    x = torch.randn(net.shape)
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None
        for part in module.modules():
            if isinstance(part, torch.nn.Linear) and not part.weight.any():  # vit_b_16's last layer
                torch.nn.init.xavier_normal_(part.weight)
        module.train()(x.repeat(2, *[1] * (x.dim() - 1)) if norms else x)
    return module.eval(), x
