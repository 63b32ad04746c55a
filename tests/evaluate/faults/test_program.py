"""An ML Program broken in one place each: the fault names the function, the operation and what was expected."""

import re
import struct

import numpy as np
import pytest

from converter import check_file
from converter.evaluate.proto import MIL_pb2


def block(spec):
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def operations(spec, kind):
    return [operation for operation in block(spec).operations if operation.type == kind]


def first(spec, kind):
    return operations(spec, kind)[0]


def blobs(spec):
    """Constants that stand in the weight file, the largest first."""
    found = [o for o in operations(spec, "const") if o.attributes["val"].WhichOneof("value") == "blobFileValue"]
    return sorted(found, key=lambda o: -np.prod([d.constant.size for d in tensor(o).dimensions]))


def tensor(operation):
    return operation.outputs[0].type.tensorType


def weight_file(path):
    return path / "Data/com.apple.CoreML/weights/weight.bin"


def outputs_missing(spec):
    del spec.description.output[:]


def image(**sizes):
    def change(spec):
        for name, value in sizes.items():
            setattr(spec.description.input[0].type.imageType, name, value)

    return change


def version(number):
    def change(spec):
        spec.specificationVersion = number

    return change


def no_type(spec):
    spec.ClearField("mlProgram")


def weight_type_smaller(spec):
    constant = blobs(spec)[0]
    for kind in (constant.outputs[0].type, constant.attributes["val"].type):
        kind.tensorType.dimensions[0].constant.size -= 1


def blob_offset(spec):
    blobs(spec)[0].attributes["val"].blobFileValue.offset += 128


def anothers_offset(spec):
    large, small = blobs(spec)[0], blobs(spec)[-1]
    large.attributes["val"].blobFileValue.offset = small.attributes["val"].blobFileValue.offset


def cut(path):
    content = weight_file(path).read_bytes()
    weight_file(path).write_bytes(content[: len(content) // 2])


def without_weights(path):
    weight_file(path).unlink()


def duplicate_name(spec):
    one, two = operations(spec, "conv")[:2]
    two.outputs[0].name = one.outputs[0].name


def duplicate_unused_name(spec):
    block(spec).operations.add().CopyFrom(operations(spec, "conv")[1])


def labels(spec):
    """The Value message that holds the labels, which stands in the operation itself."""
    return first(spec, "classify").inputs["classes"].arguments[0].value


def label_too_few(spec):
    del labels(spec).immediateValue.list.values[-1:]
    labels(spec).type.listType.length.constant.size -= 1


def duplicate_labels(spec):
    values = labels(spec).immediateValue.list.values
    values[1].CopyFrom(values[0])


def input_unknown(spec):
    operations(spec, "conv")[1].inputs["x"].arguments[0].name = "other"


def input_absent(spec):
    del first(spec, "conv").inputs["weight"]


def unknown_op(spec):
    first(spec, "conv").type = "convolve"


def unknown_parameter(spec):
    conv = first(spec, "conv")
    conv.inputs["padding"].CopyFrom(conv.inputs["pad"])


def output_shape(spec):
    tensor(operations(spec, "conv")[2]).dimensions[1].constant.size += 1


def output_dtype(spec):
    tensor(operations(spec, "conv")[2]).dataType = MIL_pb2.FLOAT16


def stride(spec):
    name = operations(spec, "conv")[0].inputs["strides"].arguments[0].name
    constant = next(o for o in operations(spec, "const") if o.outputs[0].name == name)
    values = constant.attributes["val"].immediateValue.tensor.ints.values
    values[:] = [1, 1]


def op_removed(spec):
    block(spec).operations.remove(operations(spec, "conv")[2])


def out_of_order(spec):
    moved = operations(spec, "conv")[2]
    copy = type(moved)()
    copy.CopyFrom(moved)
    block(spec).operations.remove(moved)
    block(spec).operations.add().CopyFrom(copy)


def block_output(spec):
    block(spec).outputs[0] = "other"


def function_input(spec):
    spec.mlProgram.functions["main"].inputs[0].name = "other"


def unknown_opset(spec):
    function = spec.mlProgram.functions["main"]
    function.block_specializations["CoreML99"].CopyFrom(block(spec))
    function.opset = "CoreML99"


def program_empty(spec):
    spec.mlProgram.functions.clear()


def output_renamed(spec):
    spec.description.output[1].name = "other"


def extra_output(spec):
    spec.description.output.add().CopyFrom(spec.description.output[1])
    spec.description.output[2].name = "other"


def duplicate_input(spec):
    spec.description.input.add().CopyFrom(spec.description.input[0])


def predicted_feature_name(spec):
    spec.description.predictedFeatureName = "other"


def no_main(spec):
    functions = spec.mlProgram.functions
    functions["other"].CopyFrom(functions["main"])
    del functions["main"]


def name(spec):
    for operation in block(spec).operations:
        for binding in operation.inputs.values():
            for argument in binding.arguments:
                if argument.name == "image":
                    argument.name = "my image"
    spec.mlProgram.functions["main"].inputs[0].name = spec.description.input[0].name = "my image"


def newer_opset(spec):
    function = spec.mlProgram.functions["main"]
    function.block_specializations["CoreML7"].CopyFrom(block(spec))
    function.opset = "CoreML7"


def same_size_offset(spec):
    """Two blobs of one size: their types cannot tell them apart, but one of them is read by nothing now."""
    by_type = {}
    for constant in blobs(spec):
        by_type.setdefault(tensor(constant).SerializeToString(), []).append(constant)
    one, two, *_ = next(found for found in by_type.values() if len(found) > 1)
    one.attributes["val"].blobFileValue.offset = two.attributes["val"].blobFileValue.offset


def mixed_types(spec):
    """What the addition reads is of two types now."""
    asked = first(spec, "add").inputs["y"].arguments[0].name
    for operation in block(spec).operations:
        if operation.outputs[0].name == asked:
            tensor(operation).dataType = MIL_pb2.FLOAT16


def array_for_image(spec):
    spec.description.input[0].type.multiArrayType.shape.extend([1, 3, 32, 31])
    spec.description.input[0].type.multiArrayType.dataType = 65568


def number(value, parameter="weight"):
    """Puts a number into the first convolution's weight."""

    def change(spec):
        asked = first(spec, "conv").inputs[parameter].arguments[0].name
        constant = next(o for o in blobs(spec) if o.outputs[0].name == asked)
        offset = constant.attributes["val"].blobFileValue.offset

        def folder(path):
            content = bytearray(weight_file(path).read_bytes())
            (start,) = struct.unpack_from("<Q", content, offset + 16)
            struct.pack_into("<f", content, start + 8, value)
            weight_file(path).write_bytes(bytes(content))

        return folder

    return change


def list_for_weights(spec):
    bias = first(spec, "linear").inputs["bias"].arguments[0].name
    (const,) = [o for o in operations(spec, "const") if o.outputs[0].name == bias]
    const.attributes["val"].immediateValue.list.SetInParent()


CASES = [
    # what the format's own validation finds, too
    ("outputs missing", outputs_missing, "", "the description has no output"),
    ("image size 0", image(width=0), "input", "is an image of 0 x 32 pixels"),
    ("version 0", version(0), "", "the specification version is 0; there are 1 to 10"),
    ("version 99", version(99), "", "the specification version is 99; there are 1 to 10"),
    ("no model type", no_type, "", "it holds no model of any type"),
    # what coremltools' typed loader finds
    ("weight type smaller than its blob", weight_type_smaller, "const", r"which takes \d+ bytes; its blob .* has \d+"),
    ("blob offset wrong", blob_offset, "const", "no blob stands at offset"),
    ("another blob's offset", anothers_offset, "const", r"which takes \d+ bytes; its blob .* has \d+"),
    ("duplicate op output name", duplicate_name, "conv", "is given to a second value"),
    ("duplicate unused name", duplicate_unused_name, "conv", "is given to a second value"),
    ("one label too few", label_too_few, "classify", "there are 4 labels for 5 scores"),
    ("op input unknown", input_unknown, "conv", "uses 'other', which is computed nowhere before"),
    ("required input absent", input_absent, "conv", "the parameter 'weight' is missing"),
    ("unknown op", unknown_op, "convolve", "there is no such op in iOS 16's opset"),
    ("unknown parameter", unknown_parameter, "conv", "the parameter 'padding' is not known"),
    ("op output shape wrong", output_shape, "conv", r"has the shape \[.*\], the program declares fp32 \["),
    ("output dtype wrong", output_dtype, "conv", "is fp32, the program declares fp16"),
    ("stride changed", stride, "conv", r"has the shape \[1, 8, 32, 32\], the program declares fp32 \[1, 8, 16, 16\]"),
    ("op removed", op_removed, "conv|clip|relu6", "which is computed nowhere before"),
    ("ops out of order", out_of_order, "conv|clip|relu6", "which is computed nowhere before"),
    ("block output unknown", block_output, "", "the block's output 'other' is computed nowhere"),
    (
        "function input renamed",
        function_input,
        "input",
        "is described, but the program has no such input; it has other",
    ),
    ("unknown opset", unknown_opset, "", "unknown opset 'CoreML99'"),
    ("program empty", program_empty, "", "the program has no function 'main'; it has no functions"),
    ("version 1", version(1), "", "the specification version is 1, but .* needs 7 .iOS 16."),
    # what nothing else finds
    ("output renamed", output_renamed, "output", "is described, but the program has no such output"),
    ("extra output", extra_output, "output", "is described, but the program has no such output"),
    ("duplicate input name", duplicate_input, "input", "is described 2 times"),
    ("predictedFeatureName unknown", predicted_feature_name, "", "predictedFeatureName is 'other', which is no output"),
    ("no main", no_main, "", "the program has no function 'main'; it has other"),
    ("wrong image size", image(width=33), "input", r"32 x 33 pixels .*, the program's is fp32 \[1, 3, 32, 32\]"),
    # more of the same kinds
    ("grayscale for three channels", image(colorSpace=10), "input", "GRAYSCALE, the program's is fp32"),
    ("an array of another shape and type", array_for_image, "input", r"shape \[1, 3, 32, 31\], the program's is"),
    ("duplicate labels", duplicate_labels, "classify", r"more than once \(cat\)"),
    ("a name with a blank", name, "", "the name 'my image' is not allowed"),
    ("opset newer than the version", newer_opset, "", "is 7, but the opset CoreML7 of function main needs 8"),
    ("a blob of the same size", same_size_offset, "const", r"while the blob at \d+ is read by nothing"),
    ("two types for one op", mixed_types, "add", "takes fp32 and fp16; its inputs must be of one data type"),
    ("NaN weights", number(np.nan), "const", "holds 1 NaN"),
    ("a list for weights", list_for_weights, "linear", "'bias' is not a tensor but a list"),
    ("infinite weights", number(np.inf), "const", "holds 1 infinite numbers"),
]


@pytest.mark.parametrize(("change", "op", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_fault_is_found_and_said_with_its_place(change, op, words, small, faults_of):
    then = []
    found = faults_of(
        small["mlprogram"],
        lambda spec: then.append(change(spec)),
        lambda path: then[0](path) if then[0] else None,
    )
    fitting = [fault for fault in found if fault.op in op.split("|") and re.search(words, fault.problem)]
    assert fitting, "\n".join(map(str, found))
    assert all(fault.file.endswith("broken.mlpackage") and fault.fix for fault in found)


@pytest.mark.parametrize(
    ("folder", "words"), [(cut, r"ends at \d+, the file at \d+|no blob can stand"), (without_weights, "cannot be read")]
)
def test_a_damaged_weight_file_is_one_fault_or_one_for_each_constant(folder, words, small, faults_of):
    found = faults_of(small["mlprogram"], folder=folder)
    assert found
    assert all(re.search(words, fault.problem) for fault in found), "\n".join(map(str, found))


def test_one_fault_does_not_hide_or_make_others(small, faults_of):
    def change(spec):
        for one in (stride, output_shape, input_unknown, duplicate_labels, extra_output):
            one(spec)

    found = faults_of(small["mlprogram"], change)
    assert len(found) == 6, "\n".join(map(str, found))  # a wrong shape shows where it is made and where it is used


def test_a_right_file_has_none(small, faults_of):
    assert faults_of(small["mlprogram"]) == ()
    assert check_file(small["mlprogram"]) == ()
