import re
import weakref
from pathlib import Path

import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate.layers import Network, layers
from converter.evaluate.layers import network as network_module
from converter.evaluate.layers.table import messages
from converter.evaluate.proto import Model_pb2, NeuralNetwork_pb2

KINDS = [field.name for field in NeuralNetwork_pb2.NeuralNetworkLayer.DESCRIPTOR.oneofs_by_name["layer"].fields]
NOT_IMPLEMENTED = {"custom": "its code is in the app, not in the model"}
REFUSED_FIELDS = {
    ("innerProduct", "int8DynamicQuantize"): "the runtime's rounding of the input is not documented",
    ("batchedMatmul", "int8DynamicQuantize"): "the same",
}
X = torch.tensor([1.0, -2.0, 3.0])


def message_of(kind):
    return NeuralNetwork_pb2.NeuralNetworkLayer.DESCRIPTOR.fields_by_name[kind].message_type


def test_every_layer_type_is_implemented_but_the_listed_ones():
    assert {kind for kind in KINDS if kind not in layers} == set(NOT_IMPLEMENTED)
    assert {op.name for op in layers} <= set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_IMPLEMENTED])
def test_every_field_is_a_parameter_but_the_listed_ones(kind):
    parameters = {parameter.name for parameter in layers.find(kind, 1).parameters}
    missing = {(kind, field.name) for field in message_of(kind).fields if field.name not in parameters}
    assert missing == {pair for pair in REFUSED_FIELDS if pair[0] == kind}


def test_every_layer_type_has_a_case():
    cases = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert [op.name for op in layers if not re.search(f'"{op.name}"', cases)] == []


def fields_of(message, path, seen):
    """Every field below a layer's message that is no other message, once each, and where it is used first."""
    for field in message.fields:
        place = f"{path}.{field.name}"
        if field.message_type is None:
            yield field, place
        elif field.message_type.full_name not in seen and field.message_type.name != "NeuralNetwork":
            seen.add(field.message_type.full_name)
            yield from fields_of(field.message_type, place, seen)


def test_every_message_within_a_layer_is_read_with_all_its_fields():
    held = {"WeightParams", "QuantizationParams", "LinearQuantizationParams", "LookUpTableQuantizationParams"}
    pending, seen = [message_of(kind) for kind in KINDS if kind not in NOT_IMPLEMENTED], set()
    while pending:
        for field in pending.pop().fields:
            inner = field.message_type
            if inner is None or inner.name in {*held, "NeuralNetwork", *seen}:
                continue
            seen.add(inner.name)
            pending.append(inner)
            known = {parameter.name for parameter in messages.find(inner.name, 1).parameters}
            assert {field.name for field in inner.fields} == known, inner.name
    assert seen == {message.name for message in messages}


def test_every_number_and_every_value_of_an_enumeration_has_a_case():
    cases = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    seen, missing = set(), []
    for kind in KINDS:
        if kind in NOT_IMPLEMENTED:
            continue
        for field, place in fields_of(message_of(kind), kind, seen):
            endings = re.fullmatch("(inputGate|forgetGate|blockInput|outputGate|updateGate|resetGate)(.+)", field.name)
            word = f"{{gate}}{endings[2]}|{{name}}{endings[2]}" if endings else rf"\b{field.name}\b"
            if not re.search(word, cases):
                missing.append(place)
            for value in field.enum_type.values if field.enum_type else ():
                if value.number and not re.search(rf"\b{value.name}\b", cases):
                    missing.append(f"{place}.{value.name}")
    assert missing == []


@pytest.fixture
def chain(model):
    """x → relu → doubled → softmax"""
    return model(
        [
            ("activation", ["x"], ["positive"], {"ReLU": {}}),
            ("multiply", ["positive"], ["doubled"], {"alpha": 2}),
            ("softmaxND", ["doubled"], ["y"], {"axis": 0}),
        ],
        ["x"],
    )


def test_any_value_can_be_asked_for(chain):
    values = Network(chain).run({"x": X}, ["y", "positive"])
    assert list(values) == ["y", "positive"]
    assert values["positive"].tolist() == [1, 0, 3]
    assert torch.equal(values["y"], torch.softmax(torch.tensor([2.0, 0.0, 6.0]), 0))


@pytest.mark.parametrize("kind", ["neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor"])
def test_classifiers_and_regressors_are_networks_too(chain, kind):
    spec = Model_pb2.Model()
    spec.description.CopyFrom(chain.description)
    network = getattr(spec, kind)
    network.layers.extend(chain.neuralNetwork.layers)
    network.arrayInputShapeMapping = 1
    assert Network(spec).run({"x": X}, ["doubled"])["doubled"].tolist() == [2, 0, 6]


def test_another_type_of_model_is_refused():
    spec = Model_pb2.Model()
    spec.identity.SetInParent()
    with pytest.raises(EvaluationError, match="the model is a identity, not a neural network"):
        Network(spec)


def test_only_what_is_needed_is_run(model):
    broken = ("reshapeStatic", ["x"], ["z"], {"targetShape": [7]})
    spec = model([("copy", ["x"], ["y"], {}), broken], ["x"], ["y", "z"])
    assert Network(spec).run({"x": X}, ["y"])["y"].tolist() == X.tolist()
    with pytest.raises(EvaluationError, match=r'layer "layer1" \(reshapeStatic\): .* \(inputs of shape \[3\]\)'):
        Network(spec).run({"x": X}, ["z"])


def test_a_value_is_freed_when_nothing_needs_it_any_more(chain, monkeypatch):
    made, alive = [], []
    run = network_module.Layer.run

    def watched(layer, scope):
        alive.append([reference() is not None for reference in made])
        run(layer, scope)
        made.append(weakref.ref(scope[layer.outputs[0]]))

    monkeypatch.setattr(network_module.Layer, "run", watched)
    Network(chain).run({"x": X}, ["y"])
    assert alive == [[], [True], [False, True]]


def test_layer_types_come_in_order(chain):
    assert list(Network(chain).op_types()) == ["activation", "multiply", "softmaxND"]


def test_layer_types_of_nested_networks_follow_their_holder(model):
    body = {"layers": [{"name": "inner", "input": ["x"], "output": ["y"], "copy": {}}]}
    spec = model([("loop", [], [], {"maxLoopIterations": 1, "bodyNetwork": body}), ("sign", ["y"], ["z"], {})], ["x"])
    assert list(Network(spec).op_types()) == ["loop", "copy", "sign"]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ([("softmaxND", {"axis": 0})], ("x", "softmax")),
        ([("softmax", {})], ("x", "softmax")),
        ([("activation", {"sigmoid": {}})], ("x", "sigmoid")),
        ([("softmaxND", {}), ("squeeze", {"axes": [0]}), ("reshapeStatic", {"targetShape": [3]})], ("x", "softmax")),
        ([("ceil", {}), ("softmaxND", {}), ("expandDims", {"axes": [0]}), ("copy", {})], ("v0", "softmax")),
        ([("softmaxND", {}), ("multiply", {"alpha": 2})], None),
        ([("activation", {"tanh": {}})], None),
        ([("copy", {})], None),
        ([("activation", {"sigmoid": {}}), ("activation", {"linear": {"alpha": 1}})], ("x", "sigmoid")),
        ([("activation", {"sigmoid": {}}), ("activation", {"linear": {"alpha": 2}})], None),
    ],
)
def test_the_value_before_a_softmax_or_sigmoid_is_found(model, sequence, expected):
    names = ["x", *(f"v{index}" for index in range(len(sequence)))]
    chained = [(kind, [names[i]], [names[i + 1]], fields) for i, (kind, fields) in enumerate(sequence)]
    assert Network(model(chained, ["x"], names[-1:])).activation_input(names[-1]) == expected


def test_what_cannot_be_run_is_said_at_once(model):
    spec = model(
        [
            ("innerProduct", ["x"], ["a"], {"int8DynamicQuantize": True}),
            ("custom", ["a"], ["b"], {"className": "Mine"}),
            ("splitND", ["b", "b", "b"], ["y"], {}),
            ("copy", [], ["z"], {}),
        ],
        ["x"],
    )
    with pytest.raises(EvaluationError) as refused:
        Network(spec)
    assert str(refused.value).splitlines() == [
        "4 layers cannot be run:",
        "  layer \"layer0\" (innerProduct): 'int8DynamicQuantize' is not supported here",
        '  layer "layer1" (custom): a custom layer\'s code is in the app, not in the model: it cannot be run here',
        '  layer "layer2" (splitND): takes at most 1 inputs, has 3',
        "  layer \"layer3\" (copy): 'x' is missing",
    ]


def test_a_layer_type_without_a_function_is_named(chain, monkeypatch):
    monkeypatch.setattr(network_module.layers, "find", lambda kind, version: None)
    with pytest.raises(EvaluationError, match=r'layer "layer1" \(multiply\): this layer type is not implemented here'):
        Network(chain)


def test_fields_of_a_later_version_are_refused(chain):
    # field 99 of the multiplication, a varint
    chain.neuralNetwork.layers[1].multiply.MergeFromString(bytes([0x98, 0x06, 0x01]))
    with pytest.raises(
        EvaluationError, match="MultiplyLayerParams has fields that this version of coremltools does not"
    ):
        Network(chain)


def test_layer_types_of_a_later_version_are_refused(chain):
    chain.neuralNetwork.layers[1].ClearField("multiply")
    with pytest.raises(EvaluationError, match=r'layer "layer1" \(None\): this version of coremltools does not know'):
        Network(chain)


def test_an_unknown_number_of_an_enumeration_is_refused(model):
    spec = model([("unary", ["x"], ["y"], {})], ["x"])
    spec.neuralNetwork.layers[0].unary.type = 77
    with pytest.raises(EvaluationError, match=r'layer "layer0" \(unary\): type is 77, which Operation does not have'):
        Network(spec)


def test_weights_of_the_wrong_size_name_their_layer(model):
    spec = model(
        [("innerProduct", ["x"], ["y"], {"inputChannels": 3, "outputChannels": 2, "weights": X.numpy()})], ["x"]
    )
    with pytest.raises(
        EvaluationError, match=r'layer "layer0" \(innerProduct\): the weights hold 3 values, .* needs 6'
    ):
        Network(spec).run({"x": X}, ["y"])


def test_a_value_that_nobody_computes_is_named(chain):
    with pytest.raises(EvaluationError, match='computes no value "double"\n  fix: did you mean doubled'):
        Network(chain).run({"x": X}, ["double"])
    with pytest.raises(EvaluationError, match=r'layer "layer0" \(activation\): reads "x", which no layer before it'):
        Network(chain).run({}, ["y"])
