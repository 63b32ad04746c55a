"""The saved file against its source: pictures seen wrongly, a wrong ending, labels in another order, half precision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converter.errors import ConverterError
from converter.model import Cause, ImageInput, Tensors, Validation
from converter.validate.causes import labels, precision
from converter.validate.causes.mistakes import (
    Ending,
    Seen,
    wrong_colors,
    wrong_endings,
    wrong_normalizations,
    wrong_places,
)
from converter.validate.causes.tried import (
    APART_DB,
    CLEARLY_DB,
    Case,
    explains,
    holds_db,
    is_blind,
    through,
    worst_db,
)

_UNKNOWN = "no known mistake explains the missed gates; `debug` finds the first operation that differs"
_BLIND = (
    "the cause of the missed gates cannot be told: the source itself gives nearly the same answer to all samples, so "
    "every mistake looks alike; is the network trained?"
)


@dataclass(frozen=True, kw_only=True)
class _Try:
    """One or two mistakes at once, and what the gates see with them undone."""

    seen: Seen | None = None
    ending: Ending | None = None
    validation: Validation

    @property
    def mistakes(self) -> list[Seen | Ending]:
        return [one for one in (self.seen, self.ending) if one is not None]

    @property
    def name(self) -> str:
        return " and ".join(one.name for one in self.mistakes)

    @property
    def db(self) -> float:
        return worst_db(self.validation)


def of_file(whole: Case) -> tuple[list[Cause], str]:
    """The causes, and a note where there are none."""
    case = whole.small()
    now = case.judged(case.reference.outputs, case.activations)
    if now is None:
        return [], ""
    if found := _precision(case, now):
        return [found], ""
    if is_blind(case.reference, case.interface, case.limit_db):
        return [], _BLIND
    tries = [] if holds_db(now) else _tries(case, now)
    best, note = _best(case, now, tries)
    causes = [_cause(whole, now, best)] if best else []
    if best or holds_db(now):
        order = _order(case, best or _Try(validation=now))
        causes += [order] if order else []
    return causes, "" if causes else note or _UNKNOWN


def _precision(case: Case, now: Validation) -> Cause | None:
    if case.precision != "float16" or case.path is None or holds_db(now):
        return None
    try:
        given = precision.in_float32(case.path, case.reference, case.interface)
        exact = replace(case, answers=given).judged(case.reference.outputs, case.activations)
        if exact is None or not explains(worst_db(now), exact):
            return None
        return precision.cause(case.path, case.reference, case.interface, worst_db(now), worst_db(exact))
    except ConverterError:
        return None


def _tries(case: Case, now: Validation) -> list[_Try]:
    """Each mistake alone; and where none makes the gate hold, colours with normalisations, and endings with both."""
    singles = [*_judged(case, [(seen, None) for seen in _seen(case)])]
    singles += _judged(case, [(None, ending) for ending in wrong_endings(case.activations)])
    if any(holds_db(one.validation) for one in singles):
        return singles
    pairs = [(seen, ending) for seen in _seen(case) for ending in wrong_endings(case.activations)]
    return [*singles, *_judged(case, pairs), *_judged(case, [(seen, None) for seen in _colored(case)])]


def _images(case: Case) -> list[ImageInput]:
    return [spec for spec in case.interface.inputs if isinstance(spec, ImageInput)]


def _seen(case: Case) -> Iterator[Seen]:
    for spec in _images(case):
        yield from wrong_colors(spec)
        yield from wrong_normalizations(spec)
        yield from wrong_places(spec)


def _colored(case: Case) -> Iterator[Seen]:
    """Two mistakes with one picture: its colours and its normalisation."""
    for spec in _images(case):
        for color in [one for one in wrong_colors(spec) if one.name == "BGR"]:
            for normal in wrong_normalizations(color.spec):
                as_if = f"{color.as_if} and {normal.as_if}"
                name = f"{color.name} and {normal.name}"
                yield replace(normal, name=name, as_if=as_if, fix=f"{color.fix}; {normal.fix}")


def _judged(case: Case, mistakes: Sequence[tuple[Seen | None, Ending | None]]) -> Iterator[_Try]:
    for seen, ending in mistakes:
        if case.is_late:
            return
        outputs = case.outputs(seen)
        if outputs is None:
            continue
        activations = ending.activations if ending else case.activations
        validation = case.judged(outputs, activations)
        if validation is not None:
            yield _Try(seen=seen, ending=ending, validation=validation)


def _best(case: Case, now: Validation, tries: Sequence[_Try]) -> tuple[_Try | None, str]:
    """The best explanation, if there is one and no other is as good; simple ones come first."""
    before = worst_db(now)
    told = [one for one in tries if explains(before, one.validation)]
    if not told:
        return None, ""
    best = max(told, key=lambda one: (holds_db(one.validation), one.db - CLEARLY_DB * len(one.mistakes)))
    rivals = [
        one
        for one in told
        if one.name != best.name
        and holds_db(one.validation) == holds_db(best.validation)
        and len(one.mistakes) <= len(best.mistakes)
        and best.db - one.db < APART_DB
        and not _same(case, one, best)
    ]
    if rivals:
        names = ", ".join(dict.fromkeys(one.name for one in (best, *rivals)))
        return None, f"the cause cannot be told: these explain the answers equally well: {names}"
    return best, ""


def _same(case: Case, one: _Try, other: _Try) -> bool:
    """Whether two mistakes give the same answers here: then they are one."""
    pair = [_expected(case, each) for each in (one, other)]
    return all(np.array_equal(a[n], b[n]) for a, b in zip(*pair, strict=True) for n in a)


def _expected(case: Case, one: _Try) -> list[Tensors]:
    outputs = case.outputs(one.seen) or ()
    first = case.interface.outputs[0].name
    activations = one.ending.activations if one.ending else case.activations
    return [{**each, first: through(each[first], activations)} for each in outputs]


def _cause(whole: Case, now: Validation, best: _Try) -> Cause:
    measured = min(worst_db(now), worst_db(whole.validation))
    as_if = " and ".join(one.as_if for one in best.mistakes)
    left = "" if holds_db(best.validation) else "; what is left then has another cause"
    return Cause(
        name=best.name,
        words=f"the file answers as the source would {as_if}: psnr against that is {best.db:.1f} dB, instead of "
        f"{measured:.1f} dB{left}",
        fix="; ".join(one.fix for one in best.mistakes),
        measured=measured,
        explained=best.db,
    )


def _order(case: Case, best: _Try) -> Cause | None:
    """Labels in another order, where the scores are right, with what is known of them undone."""
    classifier = case.interface.classifier
    failed = [gate for gate in best.validation.gates if not gate.passed]
    if classifier is None or not failed:
        return None
    first = case.interface.outputs[0].name
    expected = [one[first].ravel() for one in _expected(case, best)]
    given = [answer.values[first].ravel() for answer in case.answers.samples]
    if any(e.shape != g.shape for e, g in zip(expected, given, strict=True)):
        return None
    name, words, order = _found_order(case, classifier.labels, expected, given)
    if order is None:
        return None
    by_class = any(gate.name == "top1" for gate in failed)
    measure = labels.same_first if by_class else labels.measured_db
    measured, explained = measure(expected, given), min(measure(expected, given, order), 150.0)
    unit = "" if by_class else "dB"
    said = f"{explained:.0%} of the first classes are the source's then, instead of {measured:.0%}"
    return Cause(
        name=name,
        words=f"the file's labels are {words}: "
        + (said if by_class else f"psnr is {explained:.1f} dB then, instead of {measured:.1f} dB"),
        fix="give ct.ClassifierConfig the labels in the order of the scores, as the manifest lists them",
        measured=measured,
        explained=explained,
        unit="" if unit == "" else "dB",
    )


def _found_order(
    case: Case, known: tuple[str, ...], expected: Sequence[np.ndarray], given: Sequence[np.ndarray]
) -> tuple[str, str, list[int] | None]:
    before = labels.measured_db(expected, given)
    tried = [(labels.measured_db(expected, given, order), one, order) for one, order in labels.known_orders(known)]
    told = [each for each in tried if each[0] >= max(case.limit_db, before + CLEARLY_DB)]
    if told:
        _, one, order = max(told, key=lambda each: each[0])
        return one.name, one.words, order
    order_found = labels.permutation(expected, given, case.precision)
    if order_found is None or labels.measured_db(expected, given, order_found) < max(
        case.limit_db, before + CLEARLY_DB
    ):
        return "", "", None
    moved = [index for index, other in enumerate(order_found) if index != other]
    shown = ", ".join(f"{known[j]!r} has the score of {known[order_found[j]]!r}" for j in moved[:3])
    more = f", and {len(moved) - 3} more" if len(moved) > 3 else ""
    return "swapped labels" if len(moved) == 2 else "permuted labels", f"in another order ({shown}{more})", order_found
