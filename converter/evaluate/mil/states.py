"""Chapter states. A state is a one-element list that the caller keeps from one prediction to the next."""

from typing import Any

from converter.evaluate.mil.table import ops


@ops.op
def read_state_18(input: Any) -> Any:
    return input[0]


@ops.op
def write_state_18(input: Any, data: Any) -> None:
    """Not an op of the Builder: coremltools writes it for coreml_update_state."""
    input[0] = data
