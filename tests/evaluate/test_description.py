import subprocess
import sys

import coremltools as ct
import numpy as np

from converter.evaluate import describe, load_model


def test_a_classifier_is_described(classifier):
    description = describe(classifier[0])
    assert [(f.name, f.type) for f in description.inputs] == [("image", "image RGB 24 x 32 (height x width)")]
    assert {f.type for f in description.outputs} == {"string", "dictionary (string -> number)"}
    assert description.labels == 4
    assert description.predicted_feature_name == "classLabel"
    assert sum(sum(n.values()) for n in description.ops.values()) == len(list(load_model(classifier[0]).op_types()))
    assert description.size_bytes > description.weights_bytes
    assert "image: image RGB 24 x 32 (height x width)" in str(description)


def test_precision_and_minimum_os_are_said(package, convert):
    import torch

    half = convert(
        torch.nn.ReLU(),
        [ct.TensorType(name="x", shape=(1, ct.RangeDim(2, 5)), dtype=np.float16)],
        precision=ct.precision.FLOAT16,
        target=ct.target.iOS17,
    )
    described = describe(half)
    assert (described.compute_precision, described.minimum_os) == ("float16", "iOS 17, macOS 14")
    assert (described.inputs[0].type, described.inputs[0].flexibility) == ("float16 [1, 2]", "[1, 2..5]")
    assert describe(package).compute_precision == "float32"
    assert describe(package).ops == {"linear": {"float32": 1}}


def test_describing_imports_neither_torch_nor_coremltools(package):
    code = (
        "import sys; from converter.evaluate import describe; describe(sys.argv[1]);"
        "assert not {'torch', 'coremltools'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_loading_and_predicting_prints_nothing(package):
    code = (
        "import sys; from converter.evaluate import load_model;"
        "load_model(sys.argv[1]).predict({'x': [[0.0] * 64]}); assert 'coremltools' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
