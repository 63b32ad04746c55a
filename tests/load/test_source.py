"""The whole stage: from what a manifest says to a Source, and every way in which it fails."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from converter.errors import ConverterError, SourceError
from converter.model import ImageInput, Metadata, Output, Source

NET = """
import torch

class Net(torch.nn.Module):
    '''Takes pictures of 8 by 8 or more, gives 3 scores.'''

    def __init__(self, kind="plain"):
        super().__init__()
        self.kind = kind
        self.body = torch.nn.Conv2d(3, 4, 3)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        if x.shape[-1] < 8:
            raise ValueError(f"a width of {x.shape[-1]} is too small")
        y = self.head(self.drop(self.body(x).mean((2, 3))))
        if self.kind == "mapping":
            return {"out": y, "aux": y * 2}
        if self.kind == "several":
            return y, x.argmax(1)
        if self.kind == "nan":
            return y / (y * 0) * 0
        if self.kind == "chance":
            return torch.nn.functional.dropout(y)
        if self.kind == "map":
            return self.body(x)
        if self.kind == "softmax":
            return y.softmax(-1)
        return y

def build(kind="plain"):
    return Net(kind)

def double(): return Net().double()

def meta():
    with torch.device("meta"):
        return Net()

class Tokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)

    def forward(self, ids, mask):
        return (self.table(ids) * mask[..., None]).sum(1)
"""

IMAGE = {"name": "image", "image": {"size": 8, "normalize": "imagenet"}}
LABELS = ["cat", "dog", "bird"]


@pytest.fixture
def net(tmp_path: Path) -> dict[str, Any]:
    """A factory in the manifest's folder, and its checkpoint."""
    (tmp_path / "net.py").write_text(NET)
    scope: dict[str, Any] = {}
    exec(NET, scope)
    torch.manual_seed(5)
    save_file(scope["Net"]().state_dict(), tmp_path / "net.safetensors")
    return {"factory": "net.py:build", "checkpoint": "net.safetensors"}


def of_kind(net: dict[str, Any], kind: str) -> dict[str, Any]:
    return {**net, "arguments": {"kind": kind}}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(tmp_path: Path, kind: str) -> dict[str, Any]:
    """The same small classifier as TorchScript, .pt2 or ONNX, as the manifest names it."""
    torch.manual_seed(2)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 8), torch.nn.Flatten()).eval()
    example = torch.ones(1, 3, 8, 8)
    path = tmp_path / f"net.{kind}"
    if kind == "torchscript":
        torch.jit.save(torch.jit.trace(module, (example,)), path)
    elif kind == "exported":
        torch.export.save(torch.export.export(module, (example,)), path)
    else:
        torch.onnx.export(module, (example,), path, input_names=["x.1"], output_names=["y"], dynamo=False)
    return {kind: {"path": path.name, "sha256": digest(path)}}


def test_a_factory_with_its_checkpoint_becomes_a_source(load: Callable[..., Source], net: Any, tmp_path: Path) -> None:
    source = load(source=net, inputs=[IMAGE], metadata={"author": "Example", "additional": {"key": "value"}})
    assert source.name == "net"
    assert source.place == "models.yml:3:5 net"
    assert source.description == "factory net.py:build, checkpoint net.safetensors"
    assert source.metadata == Metadata(author="Example", additional={"key": "value"})
    assert [(file.origin, file.sha256) for file in source.files] == [
        ("net.py", digest(tmp_path / "net.py")),
        ("net.safetensors", digest(tmp_path / "net.safetensors")),
    ]
    assert isinstance(source.interface.inputs[0], ImageInput)
    assert source.interface.outputs == (Output(name="output"),)
    assert source.notes == ()


def test_a_module_is_settled(load: Callable[..., Source], net: Any) -> None:
    for factory in ("net.py:build", "net.py:double"):
        module = load(source={"factory": factory}, inputs=[IMAGE]).module
        assert not any(part.training for part in module.modules())
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx"])
def test_a_file_becomes_a_source(kind: str, load: Callable[..., Source], tmp_path: Path) -> None:
    said = saved(tmp_path, kind)
    source = load(source=said, inputs=[IMAGE], classifier={"labels": LABELS, "softmax": True})
    carried = {"torchscript": source.module, "exported": source.exported, "onnx": source.onnx_file}
    assert [name for name, value in carried.items() if value is not None] == [kind]
    assert [(f.origin, f.sha256) for f in source.files] == [(said[kind]["path"], said[kind]["sha256"])]
    assert [spec.name for spec in source.interface.inputs] == ["image"]
    assert [output.name for output in source.interface.outputs] == ["classLabelProbs"]
    assert source.interface.classifier is not None
    assert source.interface.classifier.labels == tuple(LABELS)
    assert source.interface.classifier.activation == "softmax"
    assert [tuple(t.shape) for t in source.example] == [(1, 3, 8, 8)]


@pytest.mark.parametrize(("kind", "name"), [("exported", "input"), ("onnx", "x_1")])
def test_a_graph_needs_no_inputs_said(kind: str, name: str, load: Callable[..., Source], tmp_path: Path) -> None:
    (spec,) = load(source=saved(tmp_path, kind)).interface.inputs
    assert (spec.name, spec.shape, spec.dtype) == (name, (1, 3, 8, 8), "float32")


def test_integers_are_int64_for_modules(load: Callable[..., Source], net: Any) -> None:
    shape = [1, {"lower": 1, "upper": 6, "default": 4}]
    inputs = [{"name": name, "tensor": {"shape": shape, "dtype": "int32"}} for name in ("ids", "mask")]
    source = load(source={"factory": "net.py:Tokens"}, inputs=inputs)
    assert [(t.dtype, tuple(t.shape)) for t in source.example] == [(torch.int64, (1, 4))] * 2


def test_a_mapping_of_outputs_becomes_a_flat_tuple_with_its_names(load: Callable[..., Source], net: Any) -> None:
    source = load(source=of_kind(net, "mapping"), inputs=[IMAGE])
    assert [output.name for output in source.interface.outputs] == ["out", "aux"]
    assert [type(value) for value in source.module(*source.example)] == [torch.Tensor, torch.Tensor]
    assert source.notes == ("the model's outputs (out, aux) were put into one flat tuple",)


def test_integer_outputs_are_int32(load: Callable[..., Source], net: Any) -> None:
    source = load(source=of_kind(net, "several"), inputs=[IMAGE])
    assert [(o.name, o.dtype) for o in source.interface.outputs] == [("output_1", "float32"), ("output_2", "int32")]


def test_torchvision_without_weights_has_their_interface(load: Callable[..., Source]) -> None:
    source = load(
        source={"torchvision": "shufflenet_v2_x0_5", "weights": None}, classifier={"softmax": True}, inputs=[]
    )
    (image,) = source.interface.inputs
    assert isinstance(image, ImageInput)
    assert image.size == (224, 224)
    assert image.resize is not None
    assert image.resize.shorter_side == 256
    assert source.interface.classifier is not None
    assert len(source.interface.classifier.labels) == 1000
    assert source.notes == ("weights: null, so the weights of shufflenet_v2_x0_5 are random (seeded)",)


def test_bgr_for_weights_that_were_trained_on_rgb_is_noted(load: Callable[..., Source]) -> None:
    inputs = [{"name": "image", "image": {"color": "BGR"}}]
    source = load(source={"torchvision": "shufflenet_v2_x0_5", "weights": None}, inputs=inputs)
    assert source.notes[-1] == "torchvision's own weights were trained on RGB, and the manifest says BGR"


def test_a_checkpoint_of_torchvision_is_loaded(load: Callable[..., Source], tmp_path: Path) -> None:
    from torchvision.models import shufflenet_v2_x0_5

    state = {f"module.{k}": v for k, v in shufflenet_v2_x0_5(weights=None).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    source = load(source={"torchvision": "shufflenet_v2_x0_5", "checkpoint": "net.pth"})
    assert torch.equal(source.module.fc.weight, state["module.fc.weight"])
    assert [file.origin for file in source.files] == ["net.pth"]
    assert source.notes == (
        "net.pth: the weights were taken from its entry 'state_dict'",
        "net.pth: the prefix 'module.' was taken off every key",
    )


def test_labels_are_read_repaired_and_recorded(load: Callable[..., Source], net: Any, tmp_path: Path) -> None:
    index = {"0": ["n02012849", "crane"], "1": ["n03126707", "crane"], "2": ["n01440764", "tench"]}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    source = load(source=net, inputs=[IMAGE], classifier={"labels": "imagenet_class_index.json", "softmax": True})
    assert source.interface.classifier is not None
    assert source.interface.classifier.labels == ("crane (n02012849)", "crane (n03126707)", "tench")
    assert len(source.interface.classifier.repairs) == 1
    assert source.files[-1].origin == "imagenet_class_index.json"


@pytest.mark.parametrize(
    ("kind", "classifier", "words"),
    [
        ("softmax", {"softmax": True}, "already add up to 1"),
        ("plain", {}, "without softmax or sigmoid"),
        ("plain", {"softmax": True}, ""),
        ("softmax", {}, ""),
    ],
)
def test_scores_that_look_wrong_for_their_activation_are_noted(
    kind: str, classifier: dict[str, Any], words: str, load: Callable[..., Source], net: Any
) -> None:
    source = load(source=of_kind(net, kind), inputs=[IMAGE], classifier={"labels": LABELS, **classifier})
    assert (words in source.notes[0]) if words else source.notes == ()


def image(**said: Any) -> list[Any]:
    return [{"name": "image", "image": {"size": 8, "normalize": "unit", **said}}]


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "plain",
        {"inputs": image(size=7)},
        ["image [1, 3, 7, 7]", "ValueError: a width of 7 is too small", "net.py:16 in"],
    ),
    (
        "plain",
        {"inputs": image(enumerated=[[8, 8], [6, 6]], size=None)},
        ["refuses an input of the promised size, image [1, 3, 6, 6]"],
    ),
    (
        "plain",
        {"inputs": image(range={"height": [8, 16], "width": [4, 16]})},
        ["refuses an input of the promised size, image [1, 3, 8, 4]"],
    ),
    ("plain", {"inputs": image(color="GRAYSCALE")}, ["refuses", "image [1, 1, 8, 8]", "3 channels"]),
    ("plain", {"inputs": [*image(), {"name": "b", "tensor": {"shape": [1]}}]}, ["takes 2 positional arguments but 3"]),
    ("chance", {}, ["output 1 of 1 differs from one run to the next on the same input"]),
    ("nan", {}, ["output 1 of 1 holds NaN, 3 of 3 values, for image [1, 3, 8, 8]"]),
    (
        "plain",
        {"classifier": {"labels": ["a", "b"]}},
        ["the list in the manifest has 2 labels, the model gives 3 scores"],
    ),
    ("plain", {"classifier": {"labels": ["a", "b", "a"]}}, ["'a' stands 2 times, as label 0, 2"]),
    ("plain", {"classifier": {"labels": "labels.txt"}}, ["there is no file labels.txt"]),
    ("plain", {"classifier": {"labels": "torchvision"}}, ["needs torchvision weights that know their categories"]),
    ("map", {"classifier": {"labels": LABELS}}, ["one score per label, [1, N]; this model gives float32 [1, 4, 6, 6]"]),
    ("plain", {"outputs": [{"name": "a"}, {"name": "b"}]}, ["the model gives 1 outputs, the manifest names 2: a, b"]),
    ("plain", {"outputs": [{"name": "a", "image": "RGB"}]}, ["output a is [1, 3], not [1, 3, height, width] (RGB)"]),
    ("plain", {"inputs": []}, ["nothing is said about the model's inputs"]),
]


@pytest.mark.parametrize(("kind", "said", "words"), WRONG)
def test_what_is_wrong_is_said_at_the_models_place(
    kind: str, said: dict[str, Any], words: list[str], load: Callable[..., Source], net: Any
) -> None:
    with pytest.raises(SourceError) as caught:
        load(**{"source": of_kind(net, kind), "inputs": image(), **said})
    assert caught.value.where == ("models.yml:3:5 net", "load")
    assert caught.value.fix
    assert all(word in caught.value.problem for word in words), caught.value.problem


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"factory": "net.py:meta"}, "cannot be moved to the CPU"),
        ({"factory": "net.py:build", "checkpoint": "no.pth"}, "there is no file no.pth"),
        ({"torchscript": {"path": "net.py", "sha256": "0" * 64}}, "net.py has sha256"),
        ({"torchvision": "shufflenet_v2_x0_5", "checkpoint": "net.safetensors"}, "does not fit the model"),
    ],
)
def test_a_source_that_cannot_be_loaded_is_said_at_the_models_place(
    source: Any, words: str, load: Callable[..., Source], net: Any
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        load(source=source, inputs=image())
    assert str(caught.value).startswith("models.yml:3:5 net > load: ")


def test_a_file_that_may_not_be_read_is_said(
    load: Callable[..., Source], net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/secret/place/net.safetensors")

    monkeypatch.setattr("converter.load.files.digest", refuse)
    with pytest.raises(SourceError, match=r"net\.safetensors cannot be read: Permission denied") as caught:
        load(source=net, inputs=image())
    assert caught.value.where == ("models.yml:3:5 net", "load")


def onnx_net(path: Path, nodes: list[Any]) -> dict[str, Any]:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h2", "w2"])],
        [numpy_helper.from_array(torch.ones(2, 3, 8, 8).numpy(), "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return {"onnx": {"path": path.name, "sha256": digest(path)}}


def test_an_onnx_graph_that_refuses_an_image_size_says_so(load: Callable[..., Source], tmp_path: Path) -> None:
    source = onnx_net(tmp_path / "net.onnx", [helper.make_node("Conv", ["x", "w"], ["y"], name="/conv")])
    assert load(source=source, inputs=image()).onnx_file == tmp_path / "net.onnx"
    with pytest.raises(SourceError, match=r"refuses an input of the promised size, image \[1, 3, 7, 7\]"):
        load(source=source, inputs=image(size=7))


def test_an_onnx_graph_that_gives_nan_says_so(load: Callable[..., Source], tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["x", "x"], ["a"]), helper.make_node("Div", ["a", "a"], ["y"])]
    with pytest.raises(SourceError, match="output y holds NaN, 192 of 192 values"):
        load(source=onnx_net(tmp_path / "net.onnx", nodes), inputs=image())


def test_onnx_nodes_of_no_standard_are_all_named(load: Callable[..., Source], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Blur", ["x"], ["a"], name="/one", domain="com.example"),
        helper.make_node("Sharpen", ["a"], ["y"], name="/two", domain="com.example"),
    ]
    with pytest.raises(ConverterError) as caught:
        load(source=onnx_net(tmp_path / "net.onnx", nodes), inputs=image())
    assert (caught.value.exit_code, caught.value.where) == (4, ("models.yml:3:5 net", "load"))
    assert '"/one" (Blur' in caught.value.problem
    assert '"/two" (Sharpen' in caught.value.problem
