"""The manifest against a labelled set: its labels are what the source says to pictures that it is given rightly."""

from dataclasses import replace

import numpy as np
import pytest

from converter.model import Normalization
from converter.validate.causes import diagnosis
from converter.validate.check import Answers, judge
from converter.validate.engines import Answer
from converter.validate.gates import Gates
from converter.validate.reference import reference
from converter.validate.samples import samples

GATES = Gates(min_accuracy=0.9)
UNIT = Normalization(scale=1 / 255, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def source(source):
    """Its labels are in no alphabet."""
    return with_labels(source, [3, 1, 4, 0, 5, 9, 2, 6, 8, 7])


@pytest.fixture
def truth(source):
    """Pictures with the labels that the source gives them."""
    asked = samples(source.interface, seeds=60)
    labels = source.interface.classifier.labels
    best = [int(one["scores"].argmax()) for one in reference(source, asked).outputs]
    return tuple(replace(one, label=labels[index]) for one, index in zip(asked, best, strict=True))


@pytest.fixture
def diagnosed(truth):
    """What is said of a file that answers exactly as its source, where both are asked as the manifest has it."""

    def run(source, labelled=truth):
        asked = reference(source, labelled[:4], labelled)
        labels = source.interface.classifier.labels
        own = tuple(labels[index] for index in asked.labelled_scores.argmax(axis=1))
        exact = tuple(
            Answer(values={"scores": softmax(one["scores"])}, scores=one["scores"], activation="softmax", label=label)
            for one, label in zip(asked.outputs, own, strict=False)
        )
        given = Answers(engine="exact", samples=exact, labelled=own)
        verdict = judge(given, asked, interface=source.interface, precision="float32", gates=GATES)
        return verdict, diagnosis(source, asked, given, verdict, precision="float32", gates=GATES)

    return run


def softmax(scores):
    powers = np.exp(scores.astype(np.float64))
    return (powers / powers.sum()).ravel()


def test_labels_that_were_trained_sorted_are_named_so(source, diagnosed):
    """As folders give them; the manifest lists them otherwise, and the labelled set knows."""
    order = np.argsort(source.interface.classifier.labels)
    alphabetical = with_labels(source, order)
    asked = samples(source.interface, seeds=60)
    best = [int(one["scores"].argmax()) for one in reference(source, asked).outputs]
    labels = alphabetical.interface.classifier.labels
    truth = tuple(replace(one, label=labels[index]) for one, index in zip(asked, best, strict=True))
    _, found = diagnosed(source, truth)
    assert [cause.name for cause in found.causes] == ["sorted labels"]


def with_image(source, **changes):
    image = replace(source.interface.inputs[0], **changes)
    return replace(source, interface=replace(source.interface, inputs=(image,)))


def with_labels(source, order):
    classifier = source.interface.classifier
    labels = tuple(classifier.labels[index] for index in order)
    return replace(source, interface=replace(source.interface, classifier=replace(classifier, labels=labels)))


WRONG = {
    "RGB": (lambda source: with_image(source, color="BGR"), "write `color: RGB`"),
    "wrong normalisation": (lambda source: with_image(source, normalization=UNIT), "write `normalize: imagenet`"),
    "shifted labels": (lambda source: with_labels(source, [*range(1, 10), 0]), "order of the scores"),
    "reversed labels": (lambda source: with_labels(source, range(9, -1, -1)), "order of the scores"),
    "permuted labels": (lambda source: with_labels(source, [5, 3, 8, 1, 9, 0, 2, 4, 7, 6]), "order of the scores"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_manifest_says_wrongly_is_named_and_nothing_else(source, diagnosed, name):
    mistake, fix = WRONG[name]
    verdict, found = diagnosed(mistake(source))
    assert [gate.name for gate in verdict.gates if not gate.passed] == ["min_accuracy"]
    assert [cause.name for cause in found.causes] == [name]
    (cause,) = found.causes
    assert fix in cause.fix
    assert cause.unit == ""
    assert cause.measured == pytest.approx(verdict.reference_accuracy)
    assert cause.explained > 0.9


def test_two_exchanged_labels_are_named_with_both(source, diagnosed, truth):
    labels = source.interface.classifier.labels
    seen = [labels.index(one.label) for one in truth]
    first, second = sorted(set(seen), key=seen.count)[-2:]
    order = list(range(10))
    order[first], order[second] = order[second], order[first]
    _, found = diagnosed(with_labels(source, order))
    assert [cause.name for cause in found.causes] == ["swapped labels"]
    assert repr(labels[first]) in found.causes[0].words


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_is_only_weak_has_no_cause(source, diagnosed, truth, seed):
    random = np.random.default_rng(seed)
    labels = source.interface.classifier.labels
    noisy = tuple(replace(one, label=str(random.choice(labels))) if random.random() < 0.3 else one for one in truth)
    verdict, found = diagnosed(source, noisy)
    assert not verdict.passed
    assert found.causes == ()
    assert "what the network can do" in found.note


def test_labels_by_chance_have_no_cause(source, diagnosed, truth):
    random = np.random.default_rng(0)
    labels = source.interface.classifier.labels
    noisy = tuple(replace(one, label=str(random.choice(labels))) for one in truth)
    _, found = diagnosed(source, noisy)
    assert found.causes == ()
