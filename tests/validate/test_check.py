import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from converter.errors import EvaluationError, ValidationError
from converter.model import Classifier, Interface, Output, Reference, Sample
from converter.validate.check import Answers, activated, answers, judge
from converter.validate.engines import Answer
from converter.validate.gates import Gates
from converter.validate.pictures import fit_picture
from converter.validate.reference import reference
from converter.validate.samples import samples

SAVED = Path("small.mlmodel")


@pytest.fixture
def asked(source):
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    image = source.interface.inputs[0]
    pictures = [Sample(name=f"photo {i}", inputs={"image": fit_picture(p, image)}) for i, p in enumerate(photos)]
    labelled = [replace(s, label="class 3") for s in samples(source.interface, seeds=20)]
    return reference(source, [*pictures, *samples(source.interface, seeds=6)], labelled)


@pytest.fixture
def check(source, asked, stand_in):
    def run(gates=None, precision="float32", **mistakes):
        given = answers(SAVED, asked, source.interface, stand_in(**mistakes))
        return judge(given, asked, interface=source.interface, precision=precision, gates=gates or Gates())

    return run


def failed(validation):
    return {gate.name for gate in validation.gates if not gate.passed}


def test_the_pictures_give_different_answers(asked):
    assert len({int(outputs["scores"].argmax()) for outputs in asked.outputs}) >= 4


def test_a_faithful_model_passes(check):
    validation = check()
    assert validation.passed
    assert validation.notes == ()
    (metrics,) = validation.metrics
    assert (metrics.output, metrics.on) == ("classLabelProbs", "before softmax")
    assert metrics.top1_agreement == metrics.top5_agreement == 1
    assert metrics.psnr_db > 110


def test_half_precision_passes_its_own_gate_and_not_float32s(check):
    validation = check(precision="float16", spoil=lambda scores: scores.half().float())
    assert validation.passed
    assert failed(check(spoil=lambda scores: scores.half().float())) == {"psnr_db"}


STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)


def seen(pixels):
    return ((pixels.transpose(2, 0, 1).astype(np.float32) / 255 - MEAN) / STD)[None]


def other_crop(pixels):
    whole = Image.fromarray(pixels)
    return np.asarray(whole.crop((4, 4, 28, 28)).resize((32, 32), Image.Resampling.BILINEAR))


MISTAKES = {
    "BGR": lambda pixels: seen(pixels[..., ::-1]),
    "averaged std": lambda pixels: ((pixels.transpose(2, 0, 1).astype(np.float32) / 255 - MEAN) / 0.226)[None],
    "double normalisation": lambda pixels: ((seen(pixels) - MEAN) / STD).astype(np.float32),
    "no normalisation": lambda pixels: pixels.transpose(2, 0, 1)[None].astype(np.float32),
    "a wrong crop": lambda pixels: seen(other_crop(pixels)),
    "a mirrored picture": lambda pixels: seen(pixels[:, ::-1]),
    "height for width": lambda pixels: seen(pixels.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_gates_catch(check, mistake):
    assert "psnr_db" in failed(check(see=MISTAKES[mistake]))


@pytest.mark.parametrize("mistake", sorted(set(MISTAKES) - {"averaged std"}))
def test_the_gates_catch_in_half_precision(check, mistake):
    assert "psnr_db" in failed(check(precision="float16", see=MISTAKES[mistake]))


def test_shuffled_labels_fail_though_the_scores_are_right(check):
    validation = check(labels=tuple(f"class {(index + 1) % 10}" for index in range(10)))
    assert failed(validation) == {"top1", "activation_error"}
    assert validation.metrics[0].psnr_db > 110


def test_two_exchanged_labels_fail(check):
    assert "activation_error" in failed(check(labels=("class 1", "class 0", *(f"class {i}" for i in range(2, 10)))))


@pytest.mark.parametrize("reaches", [True, False])
def test_nan_fails_with_words(check, reaches):
    validation = check(reaches=reaches, spoil=lambda scores: scores * math.nan)
    assert "psnr_db" in failed(validation)
    assert any("10 NaN or infinite values for photo 0" in gate.words for gate in validation.gates)


def test_probabilities_are_compared_where_the_scores_are_out_of_reach(check):
    validation = check(reaches=False)
    assert validation.passed
    assert validation.metrics[0].on == "probabilities"
    assert "compared after its softmax" in validation.notes[0]
    assert "psnr_db" in failed(check(reaches=False, see=MISTAKES["BGR"]))


def test_a_softmax_that_was_left_out_fails(source, asked):
    given = [
        Answer(values={"scores": o["scores"].ravel()}, label=f"class {o['scores'].argmax()}") for o in asked.outputs
    ]
    labels = tuple("class 3" for _ in asked.labelled)
    found = judge(
        Answers(engine="stand-in", samples=tuple(given), labelled=labels),
        asked,
        interface=source.interface,
        precision="float16",
        gates=Gates(),
    )
    assert "psnr_db" in failed(found)


def test_accuracy_is_gated_on_the_labelled_set(source, check, asked):
    right = sum(int(scores.argmax()) == 3 for scores in asked.labelled_scores)
    validation = check(Gates(min_accuracy=0.0, max_accuracy_drop=0.0))
    assert validation.passed
    assert validation.accuracy == validation.reference_accuracy == right / 20
    assert failed(check(Gates(min_accuracy=1.0))) == {"min_accuracy"}
    assert 0 < right < 20
    worse = check(Gates(max_accuracy_drop=0.0), labels=tuple(f"class {(index + 1) % 10}" for index in range(10)))
    assert "max_accuracy_drop" in failed(worse)


def test_foreign_labels_are_an_error(check):
    with pytest.raises(EvaluationError, match=r"sample photo 0.*labels are not the model's 10") as raised:
        check(labels=tuple(f"other {index}" for index in range(10)))
    assert raised.value.where == ("validate", "small.mlmodel on stand-in", "sample photo 0")


def test_another_shape_is_an_error(source, asked):
    short = tuple(Answer(values={"scores": np.zeros(9)}, label="class 0") for _ in asked.samples)
    with pytest.raises(ValidationError, match="output classLabelProbs"):
        judge(
            Answers(engine="stand-in", samples=short),
            replace(asked, labelled=(), labelled_scores=None),
            interface=source.interface,
            precision="float32",
            gates=Gates(),
        )


def test_an_untrained_network_is_named_in_a_note(source, stand_in):
    torch.manual_seed(0)
    with torch.no_grad():
        flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
        flat[1].weight.zero_()
    untrained = replace(source, module=flat)
    asked = reference(untrained, samples(source.interface, seeds=4))
    given = Answers(
        engine="stand-in", samples=tuple(Answer(values={"scores": o["scores"]}, label="class 0") for o in asked.outputs)
    )
    found = judge(given, asked, interface=source.interface, precision="float32", gates=Gates())
    assert any("proves nothing" in note for note in found.notes)


Y = Output(name="y")


def plain(outputs, given, *, output=Y, **more):
    """Judge bare arrays of a model without classes."""
    asked = Reference(
        samples=tuple(Sample(name=f"s{i}", inputs={}) for i in range(len(outputs))),
        outputs=tuple({"y": values} for values in outputs),
        labelled=(),
        labelled_scores=None,
        engine="by hand",
        seconds=0.0,
        scores_activation=more.pop("scores_activation", None),
    )
    interface = Interface(inputs=(), outputs=(output,), classifier=more.pop("classifier", None))
    given = Answers(
        engine="stand-in", samples=tuple(Answer(**a) if isinstance(a, dict) else Answer(values={"y": a}) for a in given)
    )
    return judge(given, asked, interface=interface, precision="float32", gates=more.pop("gates", Gates()))


def test_psnr_is_the_worst_samples_and_the_error_the_largest():
    good, bad = np.array([[100.0, 0.0]]), np.array([[100.0, 1.0]])
    (metrics,) = plain([good, good], [good, bad]).metrics
    assert metrics.psnr_db == pytest.approx(20 * math.log10(100 / math.sqrt(0.5)))
    assert metrics.max_abs_error == 1
    assert metrics.top1_agreement is None


def test_nan_in_a_later_sample_of_the_reference_passes_no_gate():
    good, bad = np.array([[100.0, 0.0]]), np.array([[100.0, math.nan]])
    found = plain([good, bad], [good, good], gates=Gates(max_abs_error=1.0))
    assert failed(found) == {"psnr_db", "max_abs_error"}


def test_an_output_without_values_is_an_error_not_a_pass():
    """As of a detector that finds nothing in any sample."""
    nothing, something = np.zeros((0, 4)), np.ones((1, 4))
    with pytest.raises(ValidationError, match="there is nothing to compare"):
        plain([nothing, nothing], [nothing, nothing])
    assert plain([nothing, something], [nothing, something]).passed


def test_integer_outputs_are_compared_as_they_are():
    assert plain([np.array([[3, 1]])], [np.array([[3, 1]], np.int32)]).passed
    assert not plain([np.array([[3, 1]])], [np.array([[1, 3]], np.int32)]).passed


def test_an_image_output_may_be_off_by_one_level():
    picture = np.linspace(0, 255, 3 * 64).reshape(1, 3, 8, 8)
    output = Output(name="y", color="RGB")
    assert plain([picture + 0.3], [np.rint(picture)], output=output).passed
    assert not plain([picture], [np.rint(picture) + 3], output=output).passed


def test_the_sources_own_sigmoid_is_looked_behind():
    scores = np.array([[2.0, -1.0, 30.0]])
    answer = {"values": {"y": activated(scores, "sigmoid")}, "scores": scores, "activation": "sigmoid"}
    found = plain(
        [scores, -scores],
        [answer, {**answer, "scores": -scores, "values": {"y": activated(-scores, "sigmoid")}}],
        scores_activation="sigmoid",
    )
    assert found.passed
    assert found.metrics[0].on == "before sigmoid"


def test_labels_that_tie_at_one_in_half_precision_are_not_a_disagreement():
    scores = np.array([[12.0, 20.0, -5.0]])
    answer = {
        "values": {"y": activated(scores, "sigmoid").astype(np.float16).ravel()},
        "scores": scores,
        "activation": "sigmoid",
        "label": "a",
    }
    classifier = Classifier(labels=("a", "b", "c"), activation="sigmoid")
    assert plain([scores], [answer], classifier=classifier).metrics[0].top1_agreement == 1


@pytest.mark.parametrize("scores", [np.array([[1000.0, 0.0, -1000.0]]), np.zeros((2, 3)), np.array([[-1e4, 1e4]])])
def test_activations_are_torchs(scores):
    tensor = torch.from_numpy(scores)
    np.testing.assert_allclose(activated(scores, "softmax"), torch.softmax(tensor, -1).numpy(), atol=1e-12)
    np.testing.assert_allclose(activated(scores, "sigmoid"), torch.sigmoid(tensor).numpy(), atol=1e-12)


def test_a_top1_gate_makes_classes_of_a_models_values():
    near, far = [np.array([[3.0, 1.0]])], [np.array([[1.0, 3.0]])]
    assert plain(near, near).metrics[0].top1_agreement is None
    assert "top1" in failed(plain(near, far, gates=Gates(top1=1.0)))
    assert "top1" not in failed(plain(near, far))


def test_a_softmax_too_many_is_named_in_a_note(source, stand_in):
    twice = replace(source, module=torch.nn.Sequential(source.module, torch.nn.Softmax(-1)))
    asked = reference(twice, samples(source.interface, seeds=6))
    given = Answers(
        engine="stand-in", samples=tuple(Answer(values={"scores": o["scores"]}, label="class 0") for o in asked.outputs)
    )
    found = judge(given, asked, interface=source.interface, precision="float32", gates=Gates())
    assert any("one softmax too many" in note for note in found.notes)


def test_what_is_drawn_counts_every_value_and_ranks_what_the_gate_counted(check, asked):
    validation = check(spoil=lambda scores: scores.flip(-1))
    (drawn,) = validation.plots
    assert drawn.values == sum(outputs["scores"].size for outputs in asked.outputs)
    assert drawn.values == drawn.equal + drawn.non_finite + sum(drawn.errors)
    assert {ranked.agreement for ranked in validation.rankings} == {"different"}
    by_name = dict(zip([sample.name for sample in asked.samples], asked.outputs, strict=True))
    for ranked in validation.rankings:
        scores = torch.from_numpy(by_name[ranked.sample]["scores"])
        expected = torch.softmax(scores.double(), -1)[0]
        flipped = torch.softmax(scores.double().flip(-1), -1)[0]
        for label, before, after in zip(ranked.labels, ranked.reference, ranked.candidate, strict=True):
            index = int(label.removeprefix("class "))
            assert before == pytest.approx(float(expected[index]), rel=1e-5)
            assert after == pytest.approx(float(flipped[index]), rel=1e-5)


def test_pictures_are_ranked_before_what_is_made_up(check):
    assert [ranked.sample for ranked in check().rankings] == ["photo 0", "photo 1", "seed 0", "seed 1"]
