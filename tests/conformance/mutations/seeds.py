"""The small models that are mutated: every form of file, and most kinds of ops, layers, weights and features."""

import shutil
from pathlib import Path

import coremltools as ct
import numpy as np
from coremltools import models
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, get_new_symbol, types
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder, quantization_utils

RNG = np.random.default_rng(11)


def make(folder: Path) -> dict[str, Path]:
    """Write all of them into the folder; their names and paths."""
    paths = {}
    for name, build in BUILDERS.items():
        model = build()
        suffix = "mlmodel" if isinstance(model, ct.proto.Model_pb2.Model) else "mlpackage"
        paths[name] = folder / f"{name}.{suffix}"
        if suffix == "mlmodel":
            paths[name].write_bytes(model.SerializeToString())
        else:
            shutil.rmtree(paths[name], ignore_errors=True)
            model.save(str(paths[name]))
    return paths


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def program(build, placeholders, opset, **more):
    """An MLModel of what `build` makes of placeholders, as it stands."""
    holders = {name: mb.placeholder(shape, dtype=types.fp32) for name, shape in placeholders.items()}
    with Function(holders, opset_version=ct.target[f"iOS{opset}"]) as function:
        outputs = build(**function.inputs)
        function.set_outputs(outputs if isinstance(outputs, list) else [outputs])
    whole = Program()
    whole.add_function("main", function)
    fp16 = more.pop("fp16", False)
    return ct.convert(
        whole,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[f"iOS{opset}"],
        compute_precision=ct.precision.FLOAT16 if fp16 else ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline(["common::add_fp16_cast"] if fp16 else [], "as_written"),
        skip_model_load=True,
        **more,
    )


def picture_program():
    """A classifier of pictures in fp16, with its weights in a file."""

    def build(image):
        x = mb.conv(x=image, weight=weights(4, 3, 3, 3), bias=weights(4), strides=[2, 2], pad_type="same")
        x = mb.batch_norm(x=x, mean=weights(4), variance=np.ones(4, np.float32), gamma=weights(4), beta=weights(4))
        x = mb.max_pool(x=mb.relu(x=x), kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")
        x = mb.layer_norm(x=mb.gelu(x=x, mode="EXACT"), axes=[-1], gamma=weights(4), beta=weights(4))
        x = mb.reduce_mean(x=x, axes=[2, 3])
        x = mb.linear(x=x, weight=weights(3, 4), bias=weights(3))
        return mb.softmax(x=x, axis=-1, name="scores")

    return program(
        build,
        {"image": (1, 3, 16, 16)},
        17,
        fp16=True,
        inputs=[ct.ImageType(name="image", shape=(1, 3, 16, 16), scale=1 / 255)],
        classifier_config=ct.ClassifierConfig(["cat", "dog", "owl"], predicted_probabilities_output="scores"),
    )


def many_ops():
    """One op of each chapter on [2, 8], and control flow."""

    def build(x):
        count = mb.const(val=np.int32(3))
        start = mb.const(val=np.int32(0))
        _, grown = mb.while_loop(
            _cond=lambda i, a: mb.less(x=i, y=count),
            _body=lambda i, a: (mb.add(x=i, y=1), mb.mul(x=a, y=0.5)),
            loop_vars=(start, x),
        )
        flag = mb.greater(x=mb.reduce_sum(x=x, axes=[0, 1], keep_dims=False), y=0.0)
        chosen = mb.cond(pred=flag, _true_fn=lambda: mb.add(x=grown, y=1.0), _false_fn=lambda: mb.sub(x=grown, y=1.0))
        items = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(np.int32(2), np.int32(8)), dtype="fp32")
        items = mb.list_write(ls=items, index=0, value=chosen)
        items = mb.list_write(ls=items, index=1, value=x)
        stacked = mb.list_gather(ls=items, indices=np.array([1, 0], np.int32))
        values, indices = mb.topk(x=x, k=3, axis=1)
        sides = mb.split(x=x, num_splits=2, axis=1)
        parts = [
            mb.reshape(x=stacked, shape=[-1]),
            mb.reshape(x=mb.tile(x=values, reps=[2, 1]), shape=[-1]),
            mb.reshape(x=mb.one_hot(indices=indices, one_hot_vector_size=4, on_value=1.0, off_value=0.0), shape=[-1]),
            mb.reshape(x=mb.gather(x=x, indices=np.int32([1, 0, 1]), axis=1), shape=[-1]),
            mb.reshape(x=mb.scatter(data=x, indices=np.int32([1]), updates=weights(1, 8), axis=0), shape=[-1]),
            mb.reshape(x=mb.pad(x=x, pad=[0, 1, 2, 0], mode="constant", constant_val=2.0), shape=[-1]),
            mb.reshape(x=mb.slice_by_index(x=x, begin=[0, 1], end=[2, 7], stride=[1, 2]), shape=[-1]),
            mb.reshape(x=mb.concat(values=sides, axis=0), shape=[-1]),
            mb.reshape(x=mb.fill(shape=mb.concat(values=[mb.shape(x=x), [2]], axis=0), value=1.5), shape=[-1]),
            mb.cast(x=mb.range_1d(start=0, end=5, step=1), dtype="fp32"),
            mb.reshape(x=mb.matmul(x=x, y=weights(8, 5)), shape=[-1]),
            mb.reshape(x=mb.cumsum(x=mb.transpose(x=x, perm=[1, 0]), axis=0), shape=[-1]),
            mb.reshape(x=mb.exp(x=x), shape=[-1]),
            mb.reshape(x=mb.random_normal(shape=np.array([2, 2], np.int32), seed=3), shape=[-1]),
            mb.reshape(x=mb.band_part(x=x, lower=1, upper=0), shape=[-1]),
        ]  # fmt: skip
        deep = mb.reshape(x=x, shape=[1, 2, 2, 4])
        resized = mb.upsample_bilinear(x=deep, scale_factor_height=2.0, scale_factor_width=2.0)
        wide = mb.conv_transpose(x=resized, weight=weights(2, 3, 2, 2), strides=[2, 2])
        hidden, *_ = mb.lstm(
            x=mb.reshape(x=x, shape=[2, 1, 8]),
            initial_h=np.zeros((1, 4), np.float32),
            initial_c=np.zeros((1, 4), np.float32),
            weight_ih=weights(16, 8),
            weight_hh=weights(16, 4),
        )
        parts += [mb.reshape(x=part, shape=[-1]) for part in (wide, hidden)]
        return mb.concat(values=parts, axis=0, name="y")

    return program(build, {"x": (2, 8)}, 17)


def compressed(opset):
    """Weights in each compressed form."""

    def build(x):
        shape = (16, 32)
        mask = RNG.random(shape) < 0.5
        if opset == 16:
            forms = [
                mb.constexpr_affine_dequantize(
                    quantized_data=RNG.integers(-99, 99, shape).astype(np.int8),
                    zero_point=np.zeros(16, np.int8),
                    scale=weights(16),
                    axis=0,
                ),
                mb.constexpr_lut_to_dense(
                    indices=RNG.integers(0, 256, 256).astype(np.uint8),
                    lut=weights(16),
                    shape=np.array(shape, np.uint32),
                ),
                mb.constexpr_sparse_to_dense(
                    nonzero_data=weights(mask.sum()), mask=np.packbits(mask), shape=np.array(shape, np.uint32)
                ),
            ]
        else:
            ones = mask.astype(types.np_uint1_dtype)
            kept, values = mb.constexpr_lut_to_sparse(
                indices_mask=ones,
                indices_nonzero_data=RNG.integers(0, 4, mask.sum()).astype(types.np_uint2_dtype),
                lut=weights(2, 1, 4, 1),
            )
            forms = [
                mb.constexpr_blockwise_shift_scale(
                    data=RNG.integers(-8, 8, shape).astype(types.np_int4_dtype), scale=weights(16, 2)
                ),
                mb.constexpr_lut_to_dense(
                    indices=RNG.integers(0, 8, (8, 32)).astype(types.np_uint3_dtype),
                    lut=weights(1, 2, 8, 2),
                    vector_axis=0,
                ),
                mb.constexpr_sparse_to_dense(nonzero_data=values, mask=kept),
            ]
        total = forms[0]
        for form in forms[1:]:
            total = mb.add(x=total, y=form)
        return mb.matmul(x=x, y=total, transpose_y=True, name="y")

    return program(build, {"x": (2, 32)}, opset)


def flexible():
    """A package with a state and a flexible shape."""
    holders = {
        "x": mb.placeholder((get_new_symbol("n"), 8), dtype=types.fp16),
        "memory": mb.state_tensor_placeholder((8,), dtype=types.fp16),
    }
    with Function(holders, opset_version=ct.target.iOS18) as function:
        old = mb.read_state(input=function.inputs["memory"])
        new = mb.add(x=old, y=mb.reduce_sum(x=function.inputs["x"], axes=[0], keep_dims=False))
        kept = mb.coreml_update_state(state=function.inputs["memory"], value=new)
        function.set_outputs([mb.add(x=function.inputs["x"], y=kept, name="y")])
    whole = Program()
    whole.add_function("main", function)
    return ct.convert(
        whole,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT16,
        pass_pipeline=ct.PassPipeline([], "as_written"),
        skip_model_load=True,
        inputs=[ct.TensorType(name="x", shape=(ct.RangeDim(1, 6, default=4), 8), dtype=np.float16)],
    )


def picture_network():
    """A classifier of pictures with preprocessing and 8-bit weights, in the shapes of old networks."""
    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(3, 16, 16))], [("scores", datatypes.Array(3))], mode="classifier"
    )
    builder.add_convolution(
        "conv", 3, 4, 3, 3, 1, 1, "same", 1, weights(3, 3, 3, 4), weights(4), True, False, None, "image", "c"
    )
    builder.add_batchnorm("norm", 4, weights(4), weights(4), weights(4), np.ones(4, np.float32), "c", "b")
    builder.add_activation("relu", "PRELU", "b", "r", weights(1))
    builder.add_pooling("pool", 4, 4, 4, 4, "AVERAGE", "VALID", "r", "p")
    builder.add_lrn("lrn", "p", "l", 1e-3, 0.75, 3)
    builder.add_flatten("flat", 0, "l", "f")
    builder.add_inner_product("dense", weights(3, 64), weights(3), 64, 3, True, "f", "d")
    builder.add_softmax("softmax", "d", "scores")
    builder.set_class_labels(["cat", "dog", "owl"])
    builder.set_pre_processing_parameters(image_input_names=["image"], image_scale=1 / 255, red_bias=-0.5)
    spec = builder.spec
    layers = {layer.name: layer for layer in spec.neuralNetworkClassifier.layers}
    linear, table = models._QUANTIZATION_MODE_LINEAR_QUANTIZATION, models._QUANTIZATION_MODE_LOOKUP_TABLE_LINEAR
    quantization_utils._quantize_wp_field(layers["dense"].innerProduct.weights, 8, linear, (3, 64), 0)
    quantization_utils._quantize_wp_field(layers["conv"].convolution.weights, 4, table, (4, 3, 3, 3), 0)
    return spec


def many_layers():
    """Layers on [2, 8] in today's shapes, loops and branches, and recurrent ones."""
    builder = NeuralNetworkBuilder(
        [("x", datatypes.Array(2, 8))], [("y", datatypes.Array(2, 8))], disable_rank5_shape_mapping=True
    )
    builder.add_reshape_static("deep", "x", "deep", [1, 2, 2, 4])
    builder.add_upsample("up", 2, 2, "deep", "up", mode="BILINEAR")
    builder.add_resize_bilinear("resized", "up", "resized", 4, 4)
    builder.add_padding("padded", 1, 1, 1, 1, 0.5, "deep", "padded")
    builder.add_reorganize_data("blocks", "up", "blocks", "SPACE_TO_DEPTH", 2)
    builder.add_slice_static("sliced", "x", "sliced", [0, 1], [2, 7], [1, 2], [False] * 2, [False] * 2)
    builder.add_topk("top", ["x"], ["values", "indices"], k=3, axis=1)
    builder.add_one_hot("hot", ["indices"], "hot", one_hot_vector_size=4)
    builder.add_tile("tiled", "x", "tiled", [2, 2])
    builder.add_gather("gathered", ["tiled", "indices"], "gathered", 1)
    builder.add_reduce_mean("mean", "x", "mean", axes=[1], keepdims=True)
    builder.add_concat_nd("joined", ["x", "mean"], "joined", axis=1)
    builder.add_constant_pad(
        "filled", ["x"], "filled", value=1.0, pad_to_given_output_size_mode=False, pad_amounts=[0, 1, 1, 0]
    )
    builder.add_split_nd("parts", "x", ["left", "right"], axis=1, num_splits=2)
    builder.add_fill_static("constant", "constant", value=2.0, output_shape=[2, 8])
    builder.add_range_static("numbers", "numbers", end=5.0, start=0.0, step=1.0)
    builder.add_load_constant_nd("loaded", "loaded", weights(2, 8), [2, 8])
    builder.add_batched_mat_mul(
        "product", ["x"], "product", weight_matrix_rows=8, weight_matrix_columns=8, W=weights(8, 8), bias=weights(8)
    )
    builder.add_layer_normalization("normed", "product", "normed", [8], weights(8), weights(8))
    builder.add_unary("root", "x", "root", "abs")
    builder.add_activation("scaled", "LINEAR", "root", "scaled", [2.0, 1.0])
    builder.add_elementwise("sum", ["x", "normed", "loaded", "constant"], "sum", "ADD")
    builder.add_load_constant_nd("zero", "count", np.zeros(1, np.float32), [1])
    builder.add_load_constant_nd("one", "go", np.ones(1, np.float32), [1])
    loop = builder.add_loop("loop", max_iterations=3)
    body = NeuralNetworkBuilder(nn_spec=loop.loop.bodyNetwork, disable_rank5_shape_mapping=True)
    body.add_elementwise("more", ["count"], "more", "ADD", alpha=1.0)
    body.add_copy("back", "more", "count")
    branch = builder.add_branch("branch", "go")
    chosen = NeuralNetworkBuilder(nn_spec=branch.branch.ifBranch, disable_rank5_shape_mapping=True)
    chosen.add_copy("yes", "sum", "z")
    other = NeuralNetworkBuilder(nn_spec=branch.branch.elseBranch, disable_rank5_shape_mapping=True)
    other.add_copy("no", "x", "z")
    builder.add_reshape_static("steps", "x", "steps", [2, 1, 8, 1, 1])
    gates = [weights(4, 4)] * 4, [weights(4, 8)] * 4
    builder.add_unilstm("lstm", *gates, None, 4, 8, ["steps"], ["hidden"], forget_bias=True)
    builder.add_simple_rnn("rnn", weights(4, 4), weights(4, 8), weights(4), 4, 8, "TANH", ["steps"], ["state"])
    builder.add_add_broadcastable("last", ["z", "count"], "y")
    return builder.spec


def detector():
    """A pipeline: a network's scores and boxes, then non-maximum suppression."""
    double = ct.proto.FeatureTypes_pb2.ArrayFeatureType.DOUBLE
    network = NeuralNetworkBuilder(
        [("x", datatypes.Array(20, 6))],
        [("raw_confidence", datatypes.Array(20, 2)), ("raw_coordinates", datatypes.Array(20, 4))],
        disable_rank5_shape_mapping=True,
    )
    network.add_split_nd("split", "x", ["scores", "raw_coordinates"], axis=1, split_sizes=[2, 4])
    network.add_activation("sigmoid", "SIGMOID", "scores", "raw_confidence")
    spec = ct.proto.Model_pb2.Model(specificationVersion=4)
    spec.description.input.add().CopyFrom(network.spec.description.input[0])
    for name, columns in (("confidence", 2), ("coordinates", 4)):
        added = spec.description.output.add(name=name)
        added.type.multiArrayType.dataType = double
        sizes = added.type.multiArrayType.shapeRange.sizeRanges
        sizes.add(lowerBound=0, upperBound=10)
        sizes.add(lowerBound=columns, upperBound=columns)
    spec.pipeline.names.extend(["network", "suppression"])
    spec.pipeline.models.add().CopyFrom(network.spec)
    last = spec.pipeline.models.add(specificationVersion=4)
    last.description.input.extend(network.spec.description.output)
    last.description.output.extend(spec.description.output)
    message = last.nonMaximumSuppression
    message.pickTop.perClass = True
    message.iouThreshold, message.confidenceThreshold = 0.5, 0.25
    message.confidenceInputFeatureName, message.coordinatesInputFeatureName = "raw_confidence", "raw_coordinates"
    message.confidenceOutputFeatureName, message.coordinatesOutputFeatureName = "confidence", "coordinates"
    message.stringClassLabels.vector.extend(["cat", "dog"])
    return spec


BUILDERS = {
    "picture-program": picture_program,
    "many-ops": many_ops,
    "compressed-16": lambda: compressed(16),
    "compressed-18": lambda: compressed(18),
    "state": flexible,
    "picture-network": picture_network,
    "many-layers": many_layers,
    "detector": detector,
}
