"""Which operation of a file reads what: a graph to follow a wrong value back through."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wire:
    """One operation or layer; `inputs` are the values that it reads, those of its blocks too, constants left out."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
