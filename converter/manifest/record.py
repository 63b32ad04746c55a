"""What all records of the manifest share: they are frozen, know their keys, and say every fault at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

SHA256 = r"^[0-9a-fA-F]{64}$"
FEATURE_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"  # what an ML Program takes, and Swift
MODEL_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"  # what a release page keeps as it is, and every file system
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
FACTORY = r"^[^:\x00-\x1f]+:[a-zA-Z_][a-zA-Z0-9_]*$"

# YAML already says what is text and what is a number: a quoted "3" is no number and `true` is not 1.
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Line = Annotated[str, Strict(), Field(min_length=1, pattern=ONE_LINE)]

Key: TypeAlias = str | int


class Fault(NamedTuple):
    """What is wrong below a record: `path` leads there from the record, `fix` is the way out."""

    path: tuple[Key, ...]
    problem: str
    fix: str


class Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )

    def rules(self) -> Iterator[Fault]:
        """What the types alone cannot say; yields every complaint about this record."""
        yield from ()

    @model_validator(mode="after")
    def _hold_rules(self) -> Self:
        complaints = list(self.rules())
        if complaints:
            words = "; ".join(complaint.problem for complaint in complaints)
            raise PydanticCustomError("complaints", "{words}", {"words": words, "complaints": complaints})
        return self


def shape(value: Any) -> str | None:
    """What kind of value stands where several are possible; the tags of the unions below.

    No key of a manifest looks like a tag, so that a path through the records can be followed in the YAML.
    """
    if isinstance(value, Mapping | BaseModel):
        return "<mapping>"
    if isinstance(value, tuple | list):
        return "<list>"
    if isinstance(value, str):
        return "<text>"
    return "<number>" if isinstance(value, int) and not isinstance(value, bool) else None


def by_shape(expected: str) -> Discriminator:
    return Discriminator(shape, custom_error_type="shape", custom_error_message=expected)


def kind_of(value: Any, records: Mapping[str, type[Record]]) -> str | None:
    """The tag of the one record whose key is there; None where none is, or several are."""
    if isinstance(value, BaseModel):
        return next((f"<{kind}>" for kind, record in records.items() if isinstance(value, record)), None)
    kinds = [kind for kind in records if isinstance(value, Mapping) and kind in value]
    return f"<{kinds[0]}>" if len(kinds) == 1 else None
