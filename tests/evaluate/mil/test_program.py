"""What is wrong inside a program is said with function, op and name."""

import coremltools as ct
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.proto import MIL_pb2, Model_pb2


def main(spec):
    return spec.mlProgram.functions["main"]


def block(spec):
    return main(spec).block_specializations[main(spec).opset]


def linear(spec):
    return next(o for o in block(spec).operations if o.type == "linear")


def output_type(spec):
    return linear(spec).outputs[0].type.tensorType


def set_op(spec):
    linear(spec).type = "frobnicate"


def set_parameter(spec):
    linear(spec).inputs["colour"].CopyFrom(linear(spec).inputs["x"])


def drop_parameter(spec):
    del linear(spec).inputs["weight"]


def set_use(spec):
    linear(spec).inputs["x"].arguments[0].name = "nowhere"


def set_shape(spec):
    output_type(spec).dimensions[1].constant.size = 9


def set_data_type(spec):
    output_type(spec).dataType = MIL_pb2.DataType.Value("FLOAT16")


def set_kind(spec):
    output_type(spec).dataType = MIL_pb2.DataType.Value("INT32")


def set_opset(spec):
    main(spec).opset = "CoreML99"


def drop_main(spec):
    del spec.mlProgram.functions["main"]


def swap_operations(spec):
    operations = block(spec).operations
    operations.insert(0, operations.pop())


def double_name(spec):
    block(spec).operations.add().CopyFrom(linear(spec))


def rename_output(spec):
    spec.description.output[0].name = "z"


def add_output(spec):
    spec.description.output.add().CopyFrom(spec.description.output[0])
    spec.description.output[1].name = "extra"


def double_input(spec):
    spec.description.input.add().CopyFrom(spec.description.input[0])


def set_predicted_feature(spec):
    spec.description.predictedFeatureName = "label"


def set_weight_shape(spec):
    name = linear(spec).inputs["weight"].arguments[0].name
    const = next(o for o in block(spec).operations if o.outputs and o.outputs[0].name == name)
    const.attributes["val"].type.tensorType.dimensions[1].constant.size = 32


DAMAGES = [
    (set_op, ["function main", "frobnicate (iOS16"]),
    (set_parameter, ["linear", "'colour' is not known"]),
    (drop_parameter, ["linear", "'weight' is missing"]),
    (set_use, ["linear", "'nowhere', which is computed nowhere"]),
    (set_shape, ["function main", "linear", "has shape [1, 8], the program declares fp32 [1, 9]"]),
    (set_data_type, ["linear", "is fp32, the program declares fp16 [1, 8]"]),
    (set_kind, ["linear", "the program declares int32 [1, 8]"]),
    (set_opset, ["unknown opset 'CoreML99'"]),
    (drop_main, ["no function 'main'"]),
    (swap_operations, ["computed nowhere before"]),
    (double_name, ["is given to a second value"]),
    (rename_output, ["the described output 'z' is not in the program", "the program's output 'y' is not described"]),
    (add_output, ["the described output 'extra' is not in the program"]),
    (double_input, ["the input 'x' is described twice"]),
    (set_predicted_feature, ["predicted feature 'label' is not an output"]),
    (set_weight_shape, ["linear", "is stored in"]),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_a_damaged_program_is_refused_with_its_place(damage, words, package, x):
    path = package / "Data/com.apple.CoreML/model.mlmodel"
    spec = Model_pb2.Model.FromString(path.read_bytes())
    damage(spec)
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError) as caught:
        load_model(package).predict({"x": x})
    for part in [str(package), *words]:
        assert part in str(caught.value)


def test_a_wrong_picture_size_in_the_description_is_refused(convert, tmp_path):
    path = convert(torch.nn.ReLU(), [ct.ImageType(name="image", shape=(1, 3, 24, 32))])
    spec = load_model(path).spec
    spec.description.input[0].type.imageType.width = 40
    (tmp_path / "wide.mlmodel").write_bytes(spec.SerializeToString())
    with pytest.raises(
        EvaluationError, match=r"'image' is described as 40 x 24, the program's is fp32 \[1, 3, 24, 32\]"
    ):
        load_model(tmp_path / "wide.mlmodel")
