"""The activations of recurrent layers: by name, with their alpha and beta."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from converter.convert.onnx.builder import Floats, Unsupported, Var, const, mb

# Which of alpha and beta each takes, and what the operator of that name has for them where nothing is given.
_TAKEN: dict[str, Floats] = {
    "affine": (1.0, 0.0),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "relu": (),
    "scaledtanh": (1.0, 1.0),
    "sigmoid": (),
    "softplus": (),
    "softsign": (),
    "tanh": (),
    "thresholdedrelu": (1.0,),
}


@dataclass(frozen=True)
class Activation:
    """A name in small letters and what it takes: alpha, then beta."""

    name: str
    values: Floats

    def __call__(self, x: Var) -> Var:
        return _FORMULAS[self.name](x, *self.values)

    @property
    def plain(self) -> str:
        """Its name in MIL's recurrent layers, or ''."""
        if self.name in ("relu", "sigmoid", "tanh"):
            return self.name
        return ""


def chosen(
    names: Sequence[str] | None, alphas: Floats | None, betas: Floats | None, default: Sequence[str], directions: int
) -> list[list[Activation]]:
    """For each direction its activations; the lists of alphas and betas are used up by those that take them."""
    names = list(names) if names else list(default) * directions
    count = len(default)
    if len(names) < count * directions:
        raise Unsupported(f"{len(names)} activations, {count * directions} are needed")
    alpha, beta = iter(alphas or ()), iter(betas or ())
    made = [_made(name.lower(), alpha, beta) for name in names[: count * directions]]
    return [made[place * count : (place + 1) * count] for place in range(directions)]


def _made(name: str, alpha: Iterator[float], beta: Iterator[float]) -> Activation:
    if name not in _TAKEN:
        raise Unsupported(f"the activation {name!r} is not known")
    values = tuple(float(next(given, usual)) for given, usual in zip((alpha, beta), _TAKEN[name], strict=False))
    return Activation(name, values)


def _thresholded(x: Var, alpha: float) -> Var:
    return mb.select(cond=mb.greater(x=x, y=alpha), a=x, b=const(0.0, like=x))


_FORMULAS: dict[str, Callable[..., Var]] = {
    "affine": lambda x, alpha, beta: mb.add(x=mb.mul(x=x, y=alpha), y=beta),
    "elu": lambda x, alpha: mb.elu(x=x, alpha=alpha),
    "hardsigmoid": lambda x, alpha, beta: mb.sigmoid_hard(x=x, alpha=alpha, beta=beta),
    "leakyrelu": lambda x, alpha: mb.leaky_relu(x=x, alpha=alpha),
    "relu": lambda x: mb.relu(x=x),
    "scaledtanh": lambda x, alpha, beta: mb.mul(x=mb.tanh(x=mb.mul(x=x, y=beta)), y=alpha),
    "sigmoid": lambda x: mb.sigmoid(x=x),
    "softplus": lambda x: mb.softplus(x=x),
    "softsign": lambda x: mb.softsign(x=x),
    "tanh": lambda x: mb.tanh(x=x),
    "thresholdedrelu": _thresholded,
}


def clipped(activation: Callable[[Var], Var], clip: float | None) -> Callable[[Var], Var]:
    """The activation of what was clipped to ±clip before."""
    if clip is None:
        return activation
    return lambda x: activation(mb.clip(x=x, alpha=-clip, beta=clip))
