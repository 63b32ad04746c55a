"""A NeuralNetwork broken in one place each: the fault names the place and what was expected."""

import re

import numpy as np
import pytest


def network(spec):
    return spec.neuralNetworkClassifier


def layers(spec, kind):
    return [layer for layer in network(spec).layers if layer.WhichOneof("layer") == kind]


def first(spec, kind):
    return getattr(layers(spec, kind)[0], kind)


def weights_too_short(spec):
    del first(spec, "convolution").weights.floatValue[-1:]


def weights_too_long(spec):
    first(spec, "convolution").weights.floatValue.append(0)


def bias_too_short(spec):
    del first(spec, "convolution").bias.floatValue[-1:]


def kernel_channels(spec):
    first(spec, "convolution").kernelChannels = 4


def inner_product_too_short(spec):
    del first(spec, "innerProduct").weights.floatValue[-1:]


def outputs_missing(spec):
    del spec.description.output[:]


def output_renamed(spec):
    spec.description.output[1].name = "other"


def extra_output(spec):
    spec.description.output.add().CopyFrom(spec.description.output[1])
    spec.description.output[2].name = "other"


def duplicate_layer_output(spec):
    one, two = layers(spec, "convolution")[:2]
    two.output[0] = one.output[0]


def labels_empty(spec):
    del network(spec).stringClassLabels.vector[:]


def integer_labels(spec):
    network(spec).int64ClassLabels.vector.extend(range(5))


def predicted_feature_name(spec):
    spec.description.predictedFeatureName = "other"


def probability_layer_name(spec):
    network(spec).labelProbabilityLayerName = "other"


def layer_input_unknown(spec):
    layers(spec, "convolution")[2].input[0] = "other"


def layer_without_input(spec):
    del layers(spec, "convolution")[2].input[:]


def out_of_order(spec):
    moved = network(spec).layers.pop(3)
    network(spec).layers.append(moved)


def layer_removed(spec):
    del network(spec).layers[3]


def layer_without_type(spec):
    layer = network(spec).layers[3]
    layer.ClearField(layer.WhichOneof("layer"))


def image_size_0(spec):
    spec.description.input[0].type.imageType.width = 0


def color_space(spec):
    spec.description.input[0].type.imageType.colorSpace = 0


def version(number):
    def change(spec):
        spec.specificationVersion = number

    return change


def no_type(spec):
    spec.ClearField("neuralNetworkClassifier")


def output_channels(spec):
    """Its own weights fit; the next layer's do not."""
    params = first(spec, "convolution")
    params.outputChannels += 1
    params.bias.floatValue.append(0)
    params.weights.floatValue.extend([0.0] * 27)


def duplicate_input(spec):
    spec.description.input.add().CopyFrom(spec.description.input[0])


def duplicate_output(spec):
    spec.description.output.add().CopyFrom(spec.description.output[0])


def duplicate_layer_name(spec):
    network(spec).layers[2].name = network(spec).layers[1].name


def label_too_few(spec):
    del network(spec).stringClassLabels.vector[-1:]


def duplicate_labels(spec):
    network(spec).stringClassLabels.vector[1] = "cat"


def image_size(side):
    def change(spec):
        image = spec.description.input[0].type.imageType
        image.width = image.height = side

    return change


def preprocessing(spec):
    network(spec).preprocessing[0].featureName = "other"


def nan(spec):
    layers(spec, "convolution")[3].convolution.weights.floatValue[7] = np.nan


def infinite(spec):
    first(spec, "innerProduct").bias.floatValue[0] = np.inf


def softmax_axis(spec):
    first(spec, "softmaxND").axis = 17


CASES = [
    # what the format's own validation finds, too
    ("weights too short", weights_too_short, "convolution", "weights holds 215 numbers, the layer needs 216"),
    ("weights too long", weights_too_long, "convolution", "weights holds 217 numbers, the layer needs 216"),
    ("bias too short", bias_too_short, "convolution", "bias holds 7 numbers, the layer needs 8"),
    ("kernelChannels wrong", kernel_channels, "convolution", "weights holds 216 numbers, the layer needs 288"),
    ("inner product too short", inner_product_too_short, "innerProduct", "holds 239 numbers, the layer needs 240"),
    ("outputs missing", outputs_missing, "", "the description has no output"),
    ("output renamed", output_renamed, "output", "is described, but no layer gives it"),
    ("extra output", extra_output, "output", "is described, but no layer gives it"),
    ("duplicate layer output", duplicate_layer_output, "convolution", "which stands already"),
    ("labels empty", labels_empty, "", "the classifier has no labels"),
    ("integer labels", integer_labels, "output", "is described as stringType, the labels are int64Type"),
    ("predictedFeatureName unknown", predicted_feature_name, "", "predictedFeatureName is 'other', which is no output"),
    ("labelProbabilityLayerName unknown", probability_layer_name, "", "'other', which no layer gives"),
    ("layer input unknown", layer_input_unknown, "convolution", "reads 'other', which no layer before it gives"),
    ("layer without input", layer_without_input, "convolution", "'x' is missing"),
    ("layers out of order", out_of_order, "convolution", "which no layer before it gives"),
    ("layer removed", layer_removed, "convolution", "which no layer before it gives"),
    ("layer without a type", layer_without_type, "layer", "has no type"),
    ("image size 0", image_size_0, "input", "is an image of 0 x 32 pixels"),
    ("invalid colour space", color_space, "input", "has the unknown colour space 0"),
    ("version 0", version(0), "", "the specification version is 0; there are 1 to 10"),
    ("version 99", version(99), "", "the specification version is 99; there are 1 to 10"),
    ("no model type", no_type, "", "it holds no model of any type"),
    # what nothing else finds
    ("output channels wrong", output_channels, "convolution", "takes 8 channels, its input .* has 9"),
    ("duplicate input name", duplicate_input, "input", "is described 2 times"),
    ("duplicate output name", duplicate_output, "output", "is described 2 times"),
    ("duplicate layer name", duplicate_layer_name, "layer", "2 layers have this name"),
    ("one label too few", label_too_few, "", "there are 4 labels for 5 scores"),
    ("duplicate labels", duplicate_labels, "", r"more than once \(cat\)"),
    ("image too large", image_size(64), "reshapeStatic", "invalid for input of size 192"),
    ("image too small", image_size(8), "pooling", "size is too small"),
    ("preprocessing for an unknown feature", preprocessing, "preprocessing", "is for 'other', which is no input"),
    ("version too low", version(1), "", "the specification version is 1, but .* needs 4 .iOS 13."),
    ("NaN weights", nan, "convolution", "its weights holds 1 NaN"),
    ("infinite weights", infinite, "innerProduct", "its bias holds 1 infinite numbers"),
    ("softmax axis 17", softmax_axis, "softmaxND", "Dimension out of range"),
]


@pytest.mark.parametrize(("change", "op", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_fault_is_found_and_said_with_its_place(change, op, words, small, faults_of):
    found = faults_of(small["neuralnetwork"], change)
    assert any(fault.op == op and re.search(words, fault.problem) for fault in found), "\n".join(map(str, found))
    assert all(fault.file.endswith("broken.mlmodel") and fault.fix for fault in found)


def test_all_faults_are_said_at_once(small, faults_of):
    def change(spec):
        for one in (weights_too_short, inner_product_too_short, nan, label_too_few, duplicate_labels):
            one(spec)

    assert len(faults_of(small["neuralnetwork"], change)) == 5


def test_a_right_file_has_none(small, faults_of):
    assert faults_of(small["neuralnetwork"]) == ()
