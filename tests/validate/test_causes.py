"""Each mistake is named where it is made, and nowhere else: not for noise, another mistake, or where all is alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from converter.validate.causes import diagnosis
from converter.validate.check import answers, judge
from converter.validate.engines import Engine
from converter.validate.gates import Gates
from converter.validate.reference import reference
from converter.validate.samples import samples

PATH = Path("small.mlpackage")  # never opened: a stand-in answers for it
LABELS = tuple(f"class {index}" for index in range(10))
MEAN, STD = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
AVERAGE = float(STD.mean())


def unit(pixels):
    """[H, W, 3] in 0..255 as [1, 3, H, W] in 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def right(pixels):
    return (unit(pixels) - MEAN) / STD


def grey(pixels):
    return (pixels @ np.array([0.299, 0.587, 0.114]))[..., None].round().astype(np.uint8).repeat(3, axis=2)


# What a file does wrongly with a picture, written out without the code that is tested.
SEEING = {
    "BGR": lambda p: right(p[..., ::-1]),
    "BGR, mean and std too": lambda p: right(p)[:, ::-1],
    "averaged std": lambda p: unit(p) / AVERAGE - MEAN / STD,
    "averaged std, mean too": lambda p: (unit(p) - MEAN) / AVERAGE,
    "without normalisation": lambda p: unit(p) * 255,
    "pixels 0 to 1 only": unit,
    "pixels -1 to 1": lambda p: unit(p) * 2 - 1,
    "normalised twice": lambda p: (right(p) - MEAN) / STD,
    "normalised twice, scaled too": lambda p: (right(p) / 255 - MEAN) / STD,
    "scaled twice": lambda p: (unit(p) / 255 - MEAN) / STD,
    "mean forgotten": lambda p: unit(p) / STD,
    "std forgotten": lambda p: unit(p) - MEAN,
    "mean not divided by std": lambda p: unit(p) / STD - MEAN,
    "grayscale": lambda p: right(grey(p)),
    "upside down": lambda p: right(p[::-1]),
    "mirrored": lambda p: right(p[:, ::-1]),
    "transposed": lambda p: right(p.swapaxes(0, 1)),
    "channels last": lambda p: (p.reshape(1, 3, *p.shape[:2]).astype(np.float32) / 255 - MEAN) / STD,
    "BGR and without normalisation": lambda p: unit(p[..., ::-1]) * 255,
    "BGR and averaged std": lambda p: unit(p[..., ::-1]) / AVERAGE - MEAN / STD,
}
UNSORTED = tuple(f"class {index}" for index in (0, 9, 1, 8, 2, 7, 3, 6, 4, 5))  # the scores', which no alphabet has
ORDERS = {
    "sorted labels": tuple(sorted(UNSORTED)),
    "shifted labels": (*UNSORTED[1:], UNSORTED[0]),
    "shifted labels, the other way": (UNSORTED[-1], *UNSORTED[:-1]),
    "reversed labels": UNSORTED[::-1],
    "permuted labels": tuple(UNSORTED[index] for index in (3, 8, 0, 2, 4, 5, 7, 9, 1, 6)),
}


class File:
    """A saved classifier: what it sees, what it makes of its scores, and what it calls them, each with mistakes."""

    def __init__(self, source, *, see=right, spoil=lambda scores: scores, end=None, activation="softmax", labels=None):
        self.network, self.see, self.spoil = source.module, see, spoil
        self.end = end or (lambda scores: scores.softmax(-1))
        self.activation, self.labels = activation, labels or source.interface.classifier.labels

    def activation_input(self, output):
        return ("inner", self.activation) if self.activation and output == "classLabelProbs" else None

    def predict(self, inputs, *, outputs=None):
        with torch.no_grad():
            pixels = np.ascontiguousarray(self.see(np.asarray(inputs["image"])), np.float32)
            scores = self.spoil(self.network(torch.from_numpy(pixels)))
        values = self.end(scores.double())[0].numpy()
        answered = {
            "inner": scores.numpy(),
            "classLabelProbs": dict(zip(self.labels, values.tolist(), strict=True)),
            "classLabel": self.labels[int(values.argmax())],
        }
        return {name: answered[name] for name in outputs or answered}


ENDINGS = {
    "double softmax": {"spoil": lambda scores: scores.softmax(-1)},
    "softmax missing": {"end": lambda scores: scores, "activation": None},
    "sigmoid for softmax": {"end": torch.sigmoid, "activation": "sigmoid"},
}


@pytest.fixture
def diagnosed(source):
    """What is said of a file that answers with a mistake, held to the gates of its precision."""

    def run(*, of=source, seeds=4, precision="float32", **mistake):
        asked = reference(of, samples(of.interface, seeds=seeds))
        given = answers(PATH, asked, of.interface, Engine(name="stand-in", load=lambda path: File(of, **mistake)))
        verdict = judge(given, asked, interface=of.interface, precision=precision, gates=Gates())
        return verdict, diagnosis(of, asked, given, verdict, precision=precision, gates=Gates())

    return run


def names(found):
    return [cause.name for cause in found.causes]


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("mistake", SEEING)
def test_a_picture_seen_wrongly_is_named_and_nothing_else(diagnosed, mistake, precision):
    verdict, found = diagnosed(see=SEEING[mistake], precision=precision)
    if verdict.passed:  # half precision's gate is blind to it
        assert precision == "float16"
        assert "averaged std" in mistake
        assert found.causes == ()
        return
    assert names(found) == [mistake.partition(",")[0]]
    (cause,) = found.causes
    assert cause.measured == pytest.approx(verdict.metrics[0].psnr_db)
    assert cause.explained > 60
    assert cause.fix


@pytest.mark.parametrize("mistake", ENDINGS)
def test_a_wrong_ending_is_named_and_nothing_else(diagnosed, mistake):
    verdict, found = diagnosed(**ENDINGS[mistake])
    assert not verdict.passed
    assert names(found) == [mistake]


@pytest.fixture
def unsorted(source, with_interface):
    return with_interface(classifier=replace(source.interface.classifier, labels=UNSORTED))


@pytest.mark.parametrize("mistake", ORDERS)
def test_labels_in_another_order_are_named_and_nothing_else(diagnosed, unsorted, mistake):
    verdict, found = diagnosed(of=unsorted, labels=ORDERS[mistake])
    assert not verdict.passed
    assert names(found) == [mistake.partition(",")[0]]
    assert found.causes[0].unit == ""
    assert found.causes[0].explained == 1


def test_two_swapped_labels_are_named_with_both(diagnosed, source):
    shown = reference(source, samples(source.interface, seeds=6))
    best = [int(one["scores"].argmax()) for one in shown.outputs]
    first, second = sorted(set(best), key=best.index)[:2]
    order = list(LABELS)
    order[first], order[second] = order[second], order[first]
    verdict, found = diagnosed(labels=tuple(order))
    assert not verdict.passed
    assert names(found) == ["swapped labels"]
    assert repr(LABELS[first]) in found.causes[0].words
    assert repr(LABELS[second]) in found.causes[0].words


def test_a_picture_seen_wrongly_and_labels_in_another_order_are_two_causes(diagnosed, unsorted):
    _, found = diagnosed(of=unsorted, see=SEEING["BGR"], labels=ORDERS["sorted labels"])
    assert names(found) == ["BGR", "sorted labels"]


def test_a_picture_seen_wrongly_and_a_wrong_ending_are_named_together(diagnosed):
    _, found = diagnosed(see=SEEING["mean forgotten"], **ENDINGS["double softmax"])
    assert names(found) == ["mean forgotten and double softmax"]


def noisy(level_db, seed):
    """Scores with noise that leaves `level_db`, other noise for other scores and the same for the same."""

    def spoil(scores):
        random = np.random.default_rng((seed, abs(hash(scores.numpy().tobytes()))))
        noise = torch.from_numpy(random.standard_normal(scores.shape).astype(np.float32))
        return scores + noise * scores.abs().max() * 10 ** (-level_db / 20)

    return spoil


@pytest.mark.parametrize(
    ("precision", "level_db"), [("float32", 88), ("float32", 65), ("float16", 34), ("float16", 20)]
)
@pytest.mark.parametrize("seed", range(2))
def test_noise_has_no_cause(diagnosed, precision, level_db, seed):
    verdict, found = diagnosed(spoil=noisy(level_db, seed), precision=precision)
    assert not verdict.passed
    assert found.causes == ()
    assert "no known mistake explains" in found.note


# Mistakes that nobody has listed: none of the known ones may take the blame.
UNKNOWN = {
    "a wrong crop inside": {"see": lambda p: right(np.roll(p, 3, axis=1))},
    "too dark": {"see": lambda p: right((p * 0.8).astype(np.uint8))},
    "green and blue exchanged": {"see": lambda p: right(p[..., [0, 2, 1]])},
    "one class is lost": {"spoil": lambda scores: scores * (torch.arange(10) != 3)},
    "a temperature": {"spoil": lambda scores: scores / 2},
    "one class more likely": {"spoil": lambda scores: scores + 2 * (torch.arange(10) == 5)},
    "the same answer to everything": {"spoil": lambda scores: torch.arange(10.0)[None]},
    "nothing": {"spoil": lambda scores: scores * 0},
    "NaN": {"spoil": lambda scores: scores * float("nan")},
}


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("mistake", UNKNOWN)
def test_an_unknown_mistake_gets_no_known_name(diagnosed, mistake, precision):
    verdict, found = diagnosed(**UNKNOWN[mistake], precision=precision)
    assert not verdict.passed
    assert found.causes == ()


def test_a_file_that_passes_has_no_cause(diagnosed):
    verdict, found = diagnosed()
    assert verdict.passed
    assert (found.causes, found.note) == ((), "")


class Blind(nn.Module):
    """Scores of a network that looks at its picture and says nearly the same, as an untrained one does."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.register_buffer("always", torch.linspace(-3, 3, 10))

    def forward(self, pixels):
        return self.always + 1e-5 * self.net(pixels)


@pytest.mark.parametrize(
    "mistake", [{"see": SEEING["without normalisation"]}, ENDINGS["double softmax"], {"labels": LABELS[::-1]}]
)
def test_of_a_blind_network_no_cause_can_be_told(diagnosed, source, mistake):
    verdict, found = diagnosed(of=replace(source, module=Blind(source.module).eval()), **mistake)
    assert not verdict.passed
    assert found.causes == ()
    assert "cannot be told" in found.note


def test_with_grey_pictures_it_cannot_be_told_that_colours_are_exchanged(source):
    """Nothing differs, so nothing is missed: the table of mistakes must not find one in what is right."""
    asked = samples(source.interface, seeds=4)
    asked = [replace(one, inputs={"image": grey(one.inputs["image"])}) for one in asked]
    seen = reference(source, asked)
    file = Engine(name="stand-in", load=lambda path: File(source, see=SEEING["BGR"]))
    given = answers(PATH, seen, source.interface, file)
    verdict = judge(given, seen, interface=source.interface, precision="float32", gates=Gates())
    assert verdict.passed
    assert diagnosis(source, seen, given, verdict, precision="float32", gates=Gates()).causes == ()
