"""The way of a recurrent layer over time: step by step, where Core ML has no layer that says it."""

from collections.abc import Callable, Sequence

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    float_dtype,
    is_var,
    mb,
    narrow,
)

_UNROLLED = 32  # steps; what takes more becomes a loop

States = tuple[Var, ...]
Step = Callable[[Var, States], States]


def mask_of(x: Var, lengths: Operand | None) -> Operand | None:
    """1 at each step that a sequence still has, else 0, [time, batch, 1]; None where all are of full length."""
    if lengths is None:
        return None
    time = x.shape[0]
    if not isinstance(time, int | np.integer):
        raise Unsupported("sequence_lens over a flexible number of steps")
    steps = np.arange(time, dtype=np.int32).reshape(-1, 1, 1)
    if is_var(lengths):
        return cast(mb.less(x=steps, y=mb.reshape(x=lengths, shape=(1, -1, 1))), "fp32")
    mask = steps < np.asarray(lengths).reshape(1, -1, 1)
    return None if mask.all() else mask.astype(np.float32)


def initial(given: Operand, place: int, x: Var, size: int, layout: int) -> Operand:
    """A direction's first state [batch, size]: zeros where nothing is given; an array where it is known."""
    batch = x.shape[1]
    if given is None:
        if isinstance(batch, int | np.integer):
            return np.zeros((batch, size), np.float32)
        rows = mb.slice_by_size(x=mb.shape(x=x), begin=[1], size=[1])
        zero = narrow(np.zeros(()), float_dtype(x))
        return mb.fill(shape=mb.concat(values=[rows, np.array([size], np.int32)], axis=0), value=zero)
    axis = 1 if layout else 0
    if not is_var(given):
        return np.take(np.asarray(given, np.float32), place, axis)
    own = given
    if given.shape[axis] > 1:
        own = mb.split(x=given, num_splits=given.shape[axis], axis=axis)[place]
    return cast(mb.squeeze(x=own, axes=[axis]), dtype_name(x))


def times(state: Operand, weight: Array, bias: Array | None = None) -> Operand:
    """state @ weight.T + bias, computed here where the state is known."""
    if is_var(state):
        return mb.linear(x=state, weight=const(weight), bias=None if bias is None else const(bias))
    return (state @ weight.T + (0 if bias is None else bias)).astype(np.float32)


def product(x: Operand, y: Operand) -> Operand:
    return mb.mul(x=x, y=y) if is_var(x) or is_var(y) else x * y


def stacked(sequences: Sequence[Var], ends: Sequence[States], layout: int, dtype: str) -> tuple[Var, ...]:
    """The directions' answers [time, batch, size] and last states [batch, size] as the standard arranges them."""
    y = mb.stack(values=sequences, axis=1) if len(sequences) > 1 else mb.expand_dims(x=sequences[0], axes=[1])
    results = [mb.transpose(x=y, perm=[2, 0, 1, 3]) if layout else y]
    for states in zip(*ends, strict=True):
        axis = 1 if layout else 0
        results.append(
            mb.stack(values=states, axis=axis) if len(states) > 1 else mb.expand_dims(x=states[0], axes=[axis])
        )
    return tuple(cast(result, dtype) for result in results)


def walked(parts: Var, states: States, step: Step, mask: Operand | None, *, reverse: bool) -> tuple[Var, States]:
    """Take every step of [time, batch, gates]: each one's first state [time, batch, size], and the last states.

    A sequence that has ended keeps its states and answers 0.
    """
    time = parts.shape[0]
    if isinstance(time, int | np.integer) and time <= _UNROLLED:
        return _unrolled(parts, states, step, mask, reverse=reverse)
    return _looped(parts, states, step, mask, reverse=reverse)


def _unrolled(parts: Var, states: States, step: Step, mask: Operand | None, *, reverse: bool) -> tuple[Var, States]:
    time = int(parts.shape[0])
    steps = [mb.squeeze(x=part, axes=[0]) for part in _split(parts, time)]
    masks: Sequence[Operand | None] = [None] * time
    if mask is not None:
        masks = [mb.squeeze(x=m, axes=[0]) for m in _split(mask, time)] if is_var(mask) else list(mask)
    answers: list[Var] = [None] * time
    for t in reversed(range(time)) if reverse else range(time):
        states, answers[t] = _masked(step(steps[t], states), states, masks[t])
    return mb.stack(values=answers, axis=0) if time > 1 else mb.expand_dims(x=answers[0], axes=[0]), states


def _split(x: Var, count: int) -> Sequence[Var]:
    return mb.split(x=x, num_splits=count, axis=0) if count > 1 else (x,)


def _masked(new: States, old: States, mask: Operand | None) -> tuple[States, Var]:
    if mask is None:
        return new, new[0]
    rest = mb.sub(x=1.0, y=mask) if is_var(mask) else 1 - mask
    kept = tuple(
        mb.add(x=mb.mul(x=after, y=mask), y=product(before, rest)) for after, before in zip(new, old, strict=True)
    )
    return kept, mb.mul(x=new[0], y=mask)


def _looped(parts: Var, states: States, step: Step, mask: Operand | None, *, reverse: bool) -> tuple[Var, States]:
    """A while_loop whose variables are the step, the answers so far and the states."""
    if reverse:
        parts = mb.reverse(x=parts, axes=[0])
        mask = mask if mask is None else mb.reverse(x=mask, axes=[0]) if is_var(mask) else mask[::-1]
    time = parts.shape[0]
    size = states[0].shape[1]
    masks = mask if mask is None or is_var(mask) else const(np.ascontiguousarray(mask))
    if isinstance(time, int | np.integer):
        count = np.array([time], np.int32)
    else:
        count = mb.slice_by_size(x=mb.shape(x=parts), begin=[0], size=[1])
    # Every place is written once; what stands there before only gives the shape.
    answers = mb.slice_by_size(x=parts, begin=[0, 0, 0], size=[-1, -1, size])
    begun = tuple(state if is_var(state) else const(state) for state in states)

    def goes_on(t: Var, answers: Var, *states: Var) -> Var:
        return mb.squeeze(x=mb.less(x=t, y=count), axes=[0])

    def body(t: Var, answers: Var, *states: Var) -> tuple[Var, ...]:
        part = mb.squeeze(x=mb.gather(x=parts, indices=t, axis=0), axes=[0])
        now = None if masks is None else mb.squeeze(x=mb.gather(x=masks, indices=t, axis=0), axes=[0])
        after, answer = _masked(step(part, states), states, now)
        row = mb.expand_dims(x=answer, axes=[0])
        answers = mb.scatter(data=answers, indices=t, updates=row, axis=0, mode="update")
        return (mb.add(x=t, y=np.array([1], np.int32)), answers, *after)

    first = mb.const(val=np.array([0], np.int32))
    _, answers, *last = mb.while_loop(_cond=goes_on, _body=body, loop_vars=(first, answers, *begun))
    return mb.reverse(x=answers, axes=[0]) if reverse else answers, tuple(last)
