# ruff: noqa: E501  one line a case
"""One wrong thing a line: where it is said to be, and words that the complaint must hold."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from converter.errors import ManifestError
from converter.manifest import read_manifest
from converter.manifest.schema import MlpackageFormat

Said = Callable[[str], list[str]]
SHA = "0" * 64


def model(rest: str = "", *, source: str = "{torchvision: resnet50}", name: str = "net") -> str:
    """A manifest of one model whose further keys begin on line 4, column 5."""
    return f"models:\n  - name: {name}\n    source: {source}\n    {rest}\n"


def plain(rest: str = "", *, inputs: str = "[{name: x, tensor: {shape: [1, 4]}}]") -> str:
    """The same with a source that says nothing of itself."""
    return model(f"inputs: {inputs}\n    {rest}", source="{factory: plain.py:build}")


def image(rest: str) -> str:
    """A picture as the input of a factory's model; `rest` begins on line 4, column 35."""
    return model(f"inputs: [{{name: x, image: {{{rest}}}}}]", source="{factory: plain.py:build}")


def tensor(rest: str) -> str:
    return model(f"inputs: [{{name: x, tensor: {{{rest}}}}}]", source="{factory: plain.py:build}")


def two(first: str, second: str, names: str = "a b") -> str:
    one, other = names.split()
    return (
        f"models:\n  - {{name: {one}, source: {{torchvision: resnet50}}, {first}}}\n"
        f"  - {{name: {other}, source: {{torchvision: resnet50}}, {second}}}\n"
    )


PIXELS = "size: 8, normalize: unit"

WRONG = [
    # The text itself
    ("", "1:1", "the manifest is empty; begin with `models:`"),
    ("just words", "1:1", 'the text "just words" is written here; begin with `models:`'),
    ("- a", "1:1", "a list is written here"),
    ("models: [\n", "2:1", "flow node that begins on line 2"),
    ("models:\n\t- name: x", "2:1", "no tabs"),
    ("models: a: b", "1:10", "put text with a colon in quotes"),
    ("models: @x", "1:9", "put text that begins with @ in quotes"),
    ("models: *gone", "1:9", "no anchor &gone"),
    ("models: &a [*a]", "1:13", "*a contains itself"),
    ("models: !!python/name:os.system x", "1:9", "the tag tag:yaml.org,2002:python/name:os.system is not read"),
    ("models: []\nmodels: []", "2:1", "stands here a second time, first on line 1"),
    ("models: []\n---\nmodels: []", "2:1", "a second document"),
    ('models: []\n"a\\nb": 3', "2:1", "no key `a\\nb`"),
    ('models: "\\x9b31m"', "1:9", "U+009B"),
    ("? [a]\n: b", "1:3", "cannot be a key"),
    ("models: a\x07b", "1:10", "control character (U+0007)"),
    ('models: "a\\0b"', "1:9", "U+0000"),
    ('models: "\\ud800"', "1:12", "not YAML: found invalid Unicode character escape code"),
    # The top
    ("modles: []", "1:1", "there is no key `modles` here; did you mean `models`?"),
    ("publish: []", "1:1", "the key `models` is missing"),
    ("models: []", "1:9", "the list is too short; give at least 1"),
    ("models: x", "1:9", "a list is expected"),
    ("models: [resnet]", "1:10", "models[0]: the text"),
    (model("<<: {route: onnx}"), "4:5", "belongs in `defaults`"),
    # Names
    (model(name="My Model"), "2:11", "cannot be the name of a file on a release page"),
    (model(name="résumé"), "2:11", "use letters, digits"),
    (model(name=".net"), "2:11", "cannot be the name"),
    (model(name="a..b"), "2:11", "has a dot at the end or two in a row"),
    (model(name="net."), "2:11", "has a dot at the end"),
    (model(name="report.md"), "2:11", "is the name of a file in the output folder"),
    (model(name="report.html"), "2:11", "is the name of a file in the output folder"),
    (model(name="Aux"), "2:11", "a device on Windows"),
    (model(name="3"), "2:11", 'put it in quotes: "3"'),
    (model(name="x" * 65), "2:11", "has more than 64 characters"),
    ("models:\n  - source: {torchvision: resnet50}", "2:5", "the key `name` is missing"),
    (two("route: auto", "route: auto", "net net"), "3:12", "another model is called net"),
    (two("route: auto", "route: auto", "net NET"), "3:12", "NET differs from the model net in capitals only"),
    (two("route: [direct, onnx]", "route: auto", "net net-onnx"), "3:12", "published as net-onnx.mlmodel"),
    (two("extra: [labels.txt]", "classifier: {}", "net.x net"), "", None),
    (two("classifier: {}", "extra: [labels.txt]", "a.b a"), "", None),
    (two("extra: [labels.txt]", "extra: [b.labels.txt]", "a.b a"), "3:56", "there is no file b.labels.txt"),
    # Sources
    ("models:\n  - name: net", "2:5", "the key `source` is missing"),
    (model(source="resnet50"), "3:13", "a mapping with one of the keys torchvision, factory"),
    (model(source="{torchvison: resnet50}"), "3:13", "no key `torchvison` here; did you mean `torchvision`?"),
    (model(source="{torchvision: resnet50, onnx: w.onnx}"), "3:13", "torchvision and onnx"),
    (model(source="{}"), "3:13", "what it is is not said; add one of the keys"),
    (model(source="{torchvision: resnet5}"), "3:27", "did you mean resnet50?"),
    (model(source="{torchvision: 50}"), "3:27", "text is expected"),
    (model(source="{torchvision: zzz}"), "3:27", "names are those of torchvision.models"),
    (model(source="{torchvision: resnet50, weights: IMAGENET1K_V3}"), "3:46", "did you mean IMAGENET1K_V2?"),
    (model(source="{torchvision: vgg11, weights: V1}"), "3:43", "IMAGENET1K_V1 and DEFAULT, or null for none"),
    (model(source="{torchvision: resnet50, wieghts: null}"), "3:37", "did you mean `weights`?"),
    (model(source="{torchvision: resnet50, sha256: a}"), "3:37", "it belongs below `checkpoint`"),
    (model("weights: DEFAULT"), "4:5", "it belongs below `source`"),
    (model(source="{factory: nte.py:build}"), "3:23", "there is no file nte.py; did you mean net.py?"),
    (model(source="{factory: plain.py:biuld}"), "3:23", "has no function biuld; did you mean build?"),
    (model(source="{factory: plain.py}"), "3:23", "does not name a function"),
    (model(source="{factory: broken.py:build}"), "3:23", "not valid Python: invalid syntax, line 1"),
    (model(source="{factory: no_such_package.net:build}"), "3:23", "there is no module no_such_package.net"),
    (model(source="{factory: a-b.net:build}"), "3:23", "neither a Python file nor a module"),
    (model(source="{factory: plain.py:build, arguments: [1]}"), "3:50", "a mapping of keys to values is expected"),
    (model(source="{onnx: w.onnx}"), "3:20", "needs its sha256; if it is the right file, write {path: w.onnx, sha256: "),
    (model(source="{torchscript: w.pt}"), "3:27", "needs its sha256"),
    (model(source="{exported: w.pt2}"), "3:24", "needs its sha256"),
    (model(source="{onnx: {url: 'https://h/w.onnx'}}"), "3:20", "write {path or url, sha256}"),
    (model(source="{torchvision: resnet50, checkpoint: {url: 'https://h/w.pth'}}"), "3:49", "needs its sha256"),
    (model(source=f"{{onnx: {{path: w.onx, sha256: '{SHA}'}}}}"), "3:27", "did you mean w.onnx?"),
    (model(source=f"{{onnx: {{path: w.pt2, sha256: '{SHA}'}}}}"), "3:20", "write it under `exported`"),
    (model(source=f"{{onnx: {{path: pointer.onnx, sha256: '{SHA}'}}}}"), "3:27", "LFS pointer for a file of 123456 bytes"),
    (model(source=f"{{onnx: {{path: empty.onnx, sha256: '{SHA}'}}}}"), "3:27", "empty.onnx is empty"),
    (model(source="{onnx: {path: w.onnx, sha256: abc}}"), "3:43", "is not a SHA-256"),
    (model(source="{onnx: {path: w.onnx, sha265: abc}}"), "3:35", "did you mean `sha256`?"),
    (model(source="{onnx: [w.onnx]}"), "3:20", "a path or {path or url, sha256} is expected"),
    (model(source="{onnx: {}}"), "3:20", "neither path nor url is given"),
    (model(source="{onnx: {path: w.onnx, url: 'https://h/w'}}"), "3:20", "both path and url"),
    # Addresses
    *(
        (model(source=f"{{onnx: {{url: '{url}', sha256: '{SHA}'}}}}"), "3:26", words)
        for url, words in {
            "http://h/w.onnx": "http is not accepted",
            "ftp://h/w.onnx": "not an https:// or s3:// address",
            "w.onnx": "not an https:// or s3:// address",
            "https://name:secret@h/w.onnx": "the address holds credentials",
            "https://h": "the address names no file",
            "s3://bucket/": "the address names no file",
        }.items()
    ),
    # Paths
    *(
        (model(source=f"{{torchvision: resnet50, checkpoint: '{path}'}}"), "3:49", words)
        for path, words in {
            "/etc/passwd": "is not relative",
            "~/w.pth": "is not relative",
            "C:/w.pth": "is not relative",
            "a\\w.pth": "write a/w.pth",
            "../../outside/secret.pth": "leaves the repository",
            "link.pth": "leads out of the repository through a link",
            "loop.pth": "cannot be followed",
            "../.git/config": "git's own folder",
            "tokens": "is a folder",
            "tokens/nothing": "paths are relative to the manifest's folder, models/",
            "token/vocab.json": "did you mean tokens/vocab.json?",
            "../share.pth": "did you mean ../shared.pth?",
            "plain.py/w.pth": "no file plain.py/w.pth",
            "x" * 300: "File name too long",
        }.items()
    ),
    # Routes
    (model("route: onx"), "4:12", "did you mean onnx?"),
    (model("route: [direct, auto]"), "4:21", "choose direct or onnx"),
    (model("route: []"), "4:12", "the list of routes is empty"),
    (model("route: [onnx, onnx]"), "4:19", "listed twice"),
    (model("route: 3"), "4:12", "direct, onnx, auto or a list of direct and onnx is expected"),
    (model("route: direct", source=f"{{onnx: {{path: w.onnx, sha256: '{SHA}'}}}}"), "4:12", "no other route than onnx"),
    # Inputs
    (model(source="{factory: plain.py:build}"), "2:5", "the key `inputs` is missing"),
    (plain(inputs="[{name: x}]"), "4:14", "neither image nor tensor is given"),
    (plain(inputs="[{name: x, size: 3, image: {}}]"), "4:24", "it belongs below `image`"),
    (plain(inputs="[{name: my-image, tensor: {shape: [1]}}]"), "4:21", "is no name that Core ML takes"),
    (plain(inputs="[{name: x, tensor: {shape: [1]}}, {name: x, tensor: {shape: [1]}}]"), "4:54", "an input is called x already"),
    (image(f"{PIXELS}, color: rgb"), "4:65", "did you mean RGB?"),
    (image("size: 8"), "4:31", "how pixels are normalised is not said"),
    (image("normalize: unit"), "4:31", "the picture's size is not said"),
    (image("size: [8], normalize: unit"), "4:38", "number 2 of the list is missing"),
    (image("size: [8, 8, 3], normalize: unit"), "4:38", "the list has 3 items; give at most 2"),
    (image("size: 0, normalize: unit"), "4:38", "write at least 1"),
    (image("size: 8.5, normalize: unit"), "4:38", "a number of pixels or [height, width] is expected"),
    (image("size: big, normalize: unit"), "4:38", "a number of pixels or [height, width] is expected"),
    (image("size: 99999, normalize: unit"), "4:38", "write at most 16384"),
    (image("size: 8, normalize: imagnet"), "4:52", "did you mean imagenet?"),
    (image("size: 8, normalize: {mean: [0, 0, 0]}"), "4:52", "the key `std` is missing"),
    (image("size: 8, normalize: {mean: [0, 0, 0], std: [1, 0, 1]}"), "4:79", "divided by a std of 0"),
    (image("size: 8, normalize: {mean: [0, 0, 0], std: [1, 1]}"), "4:75", "mean has 3 numbers and std 2"),
    (image("size: 8, normalize: {mean: [0, 0], std: [1, 1]}"), "4:59", "RGB needs 3 of mean and std, 2 are given"),
    (image("size: 8, normalize: {mean: [.nan], std: [1]}"), "4:60", "a number is expected"),
    (image("size: 8, normalize: {mean: ['0'], std: [1]}"), "4:60", "take the quotes off"),
    (image("size: 8, normalize: imagenet, color: GRAYSCALE"), "4:52", "imagenet normalises three channels"),
    (image(f"{PIXELS}, resize: 4"), "4:66", "cannot be cropped to 8 x 8"),
    (image(f"{PIXELS}, interpolation: cubic"), "4:73", "did you mean bicubic?"),
    (image(f"{PIXELS}, range: {{height: [9, 4], width: [1, 9]}}"), "4:74", "the lower bound 9 is above the upper bound 4"),
    (image(f"{PIXELS}, range: {{height: [9, 12], width: [1, 9]}}"), "4:38", "the default height 8 is outside of 9 to 12"),
    (image(f"{PIXELS}, range: {{height: [1, 8]}}"), "4:65", "the key `width` is missing"),
    (image(f"{PIXELS}, enumerated: [[4, 4], [4, 4]]"), "4:79", "listed twice"),
    (image(f"{PIXELS}, enumerated: [[4, 4]]"), "4:38", "not among the enumerated ones"),
    (tensor("dtype: int32"), "4:32", "neither shape nor enumerated"),
    (tensor("shape: []"), "4:40", "the list is too short"),
    (tensor("shape: [1, 1, 1, 1, 1, 1]"), "4:40", "give at most 5"),
    (tensor("shape: [1, -1]"), "4:44", "Core ML takes none without bounds"),
    (tensor("shape: [1, batch]"), "4:44", "a number or {lower, upper, default} is expected"),
    (tensor("shape: [{lower: 1}]"), "4:41", "the key `upper` is missing"),
    (tensor("shape: [{lower: 1, upper: .inf}]"), "4:59", "a whole number is expected"),
    (tensor("shape: [{lower: 4, upper: 2}]"), "4:49", "above the upper bound 2; swap them"),
    (tensor("shape: [{lower: 1, upper: 4, default: 9}]"), "4:71", "the default 9 is outside of 1 to 4"),
    (tensor("enumerated: [[1, 4], [4]]"), "4:54", "rank 1, the first one rank 2"),
    (tensor("enumerated: [[1, 4], [1, 4]]"), "4:54", "listed twice"),
    (tensor("enumerated: [" + "[1]," * 129 + "]"), "4:45", "the list has 129 items; give at most 128"),
    (tensor("shape: [1], enumerated: [[1]]"), "4:32", "both shape and enumerated"),
    (tensor("shape: [1], dtype: int64"), "4:52", "float32, float16 or int32"),
    (tensor("shape: [1], dtype: float16"), "4:52", "a .mlmodel knows no float16"),
    (plain("formats: [{mlpackage: {deployment_target: iOS15}}]\n    outputs: [{name: y, dtype: float16}]"), "6:32", "iOS15 knows no float16"),
    (plain(inputs="[{name: x, tensor: {enumerated: [[1], [2]]}}, {name: y, tensor: {enumerated: [[1], [2]]}}]"), "4:59", "iOS16 takes one such input"),
    # Outputs and classifiers
    (model("outputs: [{name: y, image: RGB, dtype: int32}]"), "4:44", "a picture has no dtype"),
    (model("outputs: [{name: y}, {name: y}]"), "4:33", "an output is called y already"),
    (model("classifier: {}\n    outputs: [{name: s}, {name: classLabel}]"), "5:33", "an output is called classLabel already"),
    (model("classifier: {softmax: true, sigmoid: true}"), "4:42", "exclude each other"),
    (model("classifier: {softmax: yes}"), "4:27", "true or false is expected"),
    (model("classifier: {labels: []}"), "4:26", "the list of labels is empty"),
    (model("classifier: {labels: [0, 1]}"), "4:27", 'put it in quotes: "0"'),
    (model("classifier: {labels: [a, b, a]}"), "4:33", '"a" is label 0 already'),
    (model("classifier: {labels: [a, b]}"), "4:26", "there are 2 labels, and resnet50 gives 1000 scores"),
    (model("classifier: {labels: labels.txt}"), "4:26", "there are 2 labels"),
    (model("classifier: {labels: labels.json}"), "4:26", "there are 3 labels"),
    (model("classifier: {labels: lables.txt}"), "4:26", "did you mean labels.txt?"),
    (model("classifier: {labels: 3}"), "4:26", "torchvision, a file or a list of labels is expected"),
    (model("classifier: {predicted_feature_name: p, probabilities_name: p}"), "4:65", "both outputs are called p"),
    (model("classifier: {}", source="{torchvision: raft_small}"), "4:17", "name no categories"),
    (model("softmax: true"), "4:5", "it belongs below `classifier`"),
    (plain("classifier: {softmax: true}"), "5:17", "only a torchvision source brings labels"),
    # Formats
    (model("formats: []"), "4:14", "the list is too short"),
    (model("formats: [mlmodle]"), "4:15", "did you mean mlmodel?"),
    (model("formats: [mlmodel, mlmodel]"), "4:24", "mlmodel is asked for twice"),
    (model("formats: [{mlmodel: {compute_precision: float32}}]"), "4:26", "a .mlmodel has no compute precision of its own"),
    (model("formats: [{mlmodel: {float32_ops: [Relu]}}]"), "4:26", "a .mlmodel has no compute precision of its own"),
    (model("formats: [{mlpackage: {float32_ops: Relu}}]"), "4:41", "a list is expected"),
    (model('formats: [{mlpackage: {float32_ops: [""]}}]'), "4:42", ""),
    (model("formats: [{mlpackage: {float32_ops: [Relu], compute_precision: float32}}]"), "4:41", "everything is in float32 already"),
    (model("formats: [{mlmodel: {deployment_target: iOS15}}]"), "4:45", "a .mlpackage iOS15 and later"),
    (model("formats: [{mlpackage: {deployment_target: iOS14}}]"), "4:47", "a .mlmodel older ones"),
    (model("formats: [{mlpackage: {compute_units: GPU}}]"), "4:43", "ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE"),
    (model("formats: [{mlmodel: , deployment_target: iOS14}]"), "4:27", "it belongs below `mlmodel`"),
    (model("formats: [{mlmodel: , mlpackage: }]"), "4:15", "begin each with a dash"),
    # The rest
    (model("metadata: {version: 1.0}"), "4:25", 'put it in quotes: "1.0"'),
    (model("metadata: {additional: {a: 1}}"), "4:32", 'put it in quotes: "1"'),
    (model("description: x"), "4:5", "it belongs below `inputs`, `outputs` or `metadata`"),
    (model("validate: {seeds: 0}"), "4:23", "write at least 1"),
    (model("validate: {gates: {psnr: 3}}"), "4:24", "did you mean `psnr_db`?"),
    (model("validate: {gates: {top1: 2}}"), "4:30", "write at most 1"),
    (model("validate: {compute_units_required: [GPU]}"), "4:41", "choose ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE"),
    (model("validate: {compute_units_required: ALL}"), "4:40", "a list is expected"),
    (model("validate: {samples: [dog.jpg]}"), "4:26", "there is no file dog.jpg"),
    (model("validate: {samples: cat.jpg}"), "4:25", "a list is expected"),
    (model("validate: {labelled: {path: heldout.npz, min_map: 0.5}}"), "4:55", "a classification has no such metric"),
    (
        model("validate: {labelled: {path: heldout.npz, segmentation: {}, min_accuracy: 0.5}}"),
        "4:78",
        "a segmentation has no such metric",
    ),
    (model("validate: {labelled: {path: heldout.npz, segmentation: {}}}"), "4:26", "the labelled set has no gate"),
    (
        model("validate: {labelled: {path: heldout.npz, segmentation: {}, detection: {boxes: b, scores: s}}}"),
        "4:26",
        "said to be of a segmentation and of a detection",
    ),
    (model("validate: {labelled: {path: pictures, segmentation: {}, min_mean_iou: 0.5}}"), "4:26", "a folder of pictures"),
    (model("validate: {labelled: {path: heldout.csv, segmentation: {}, min_mean_iou: 0.5}}"), "4:26", "line 3: there is no"),
    (model("validate: {labelled: {path: heldout.csv, detection: {boxes: b, scores: s}, min_map: 0.5}}"), "4:26", "x1"),
    (
        model("validate: {labelled: {url: https://h/s.csv, segmentation: {}, min_mean_iou: 0.5}}"),
        "4:32",
        "a .csv names pictures beside it",
    ),
    (model("validate: {baseline: ../../other.json}"), "4:26", "leaves the repository"),
    (model("validate: {baseline: pictures}"), "4:26", "pictures is no .json file"),
    (model("validate: {gates: {skip: {top1: ''}}}"), "4:37", "the text is empty"),
    (model("validate: {gates: {outputs: {boxes: {psnr: 40}}}}"), "4:42", "did you mean `psnr_db`?"),
    (model("classifier: {}\n    validate: {labelled: {path: heldout.npz}}"), "5:26", "the labelled set has no gate"),
    (model("validate: {labelled: {path: heldout.npz, min_accuracy: 1}}"), "4:26", "only a classifier"),
    (model("extra: [no.json]"), "4:13", "there is no file no.json"),
    (model("extra: [tokens]"), "4:13", "is a folder"),
    (model("extra: ['a:b?.json']"), "4:13", "the file's name has : ?, which neither Windows nor a workflow's"),
    (model("extra: [labels.txt, ./labels.txt]"), "4:25", "two files would be published as net.labels.txt"),
    (model("classifier: {}\n    extra: [labels.txt]"), "5:13", "two files would be published as net.labels.txt"),
    (model() + "publish: [{directory: ../..}]", "5:23", "leaves the repository"),
    (model() + "publish: [{directory: .}]", "5:23", "holds the sources"),
    (model() + "publish: [{directory: labels.txt}]", "5:23", "labels.txt is a file"),
    (model() + "publish: [{directory: a}, {directory: ./a}]", "5:39", "published to twice"),
    (model() + "publish: [3]", "5:11", "one of the keys directory"),
    (model() + "publish: [{github: {tags: v1}}]", "5:21", "no key `tags`"),
    (model() + "publish: [{github: {repository: net}}]", "5:33", "write OWNER/REPO"),
    (model() + "publish: [{github: {draft: 'yes'}}]", "5:28", "true or false is expected"),
    (model() + "publish: [{github: {existing: keep}}]", "5:31", "skip, replace or fail"),
    (model() + "publish: [{s3: 's3://b/p'}]", "5:16", "without s3://"),
    (model() + "publish: [{s3: {prefix: '{tag}/'}}]", "5:16", "the key `bucket` is missing"),
    (model() + "publish: [{s3: {bucket: net, prefix: 'net/'}}]", "5:38", "holds neither {tag} nor {sha}"),
    (model() + "publish: [{s3: {bucket: net, prefix: '{tag}'}}]", "5:38", "does not end with a slash"),
    (model() + "publish: [{s3: {bucket: net, prefix: '{tag}/{date}/'}}]", "5:38", "has other placeholders"),
    (model() + "publish: [{s3: {bucket: net, prefix: '{tag!r}/'}}]", "5:38", "has other placeholders"),
    (model() + "publish: [{s3: {bucket: net, prefix: '{tag/'}}]", "5:38", "braces of the prefix do not match"),
    (model() + "publish: [{s3: {bucket: net, prefix: '../{tag}/'}}]", "5:38", "empty, . or .."),
    (model() + "publish: [{s3: {bucket: net, endpoint: 's3.x'}}]", "5:40", "is not an https:// or http:// address"),
    (model() + "publish: [{s3: {bucket: net, endpoint: 'https://u:p@h'}}]", "5:40", "the endpoint holds credentials"),
    (model() + "publish: [{s3: {bucket: net, public_url: 'https://h/?sig=1'}}]", "5:42", "the public_url has a query"),
    (model() + "publish: [{s3: {bucket: net, kms_key: k}}]", "5:39", "write encryption: aws:kms"),
    (model() + "publish: [{s3: {bucket: net, tags: {team: a&b}}}]", "5:43", "at most 128 for a name"),
    (model() + "publish: [{s3: {bucket: net, existing: skip}}]", "5:40", "fail or replace"),
    (model() + "publish: [{s3: {bucket: net, content_types: {zip: a/b}}}]", "5:51", "write .zip"),
    (model() + "publish: [{folder: x}]", "5:11", "add one of the keys directory"),
    (model() + "publish: [{directory: a, github: }]", "5:11", "keys of one and the same mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), WRONG)
def test_a_wrong_manifest_is_refused_at_its_place(said: Said, text: str, place: str, words: str | None) -> None:
    complaints = said(text)
    if words is None:
        assert complaints == []
    else:
        assert any(line.startswith(place) and words in line for line in complaints), "\n".join(complaints) or "nothing"


RIGHT = [
    model(),
    model(source="{torchvision: resnet50, weights: null, checkpoint: inside.pth}"),
    model(source="{torchvision: resnet50, checkpoint: ../shared.pth}"),
    model(source=f"{{onnx: {{path: w.onnx, sha256: {'1' * 64}}}}}"),  # all digits, and still text
    plain().replace("factory: plain.py:build", f"torchscript: {{url: 's3://bucket/w.pt', sha256: '{'A' * 64}'}}"),
    plain("classifier: {labels: labels.txt, softmax: true}"),
    plain("formats: mlmodel"),
    plain("formats: [{mlmodel: }, mlpackage]"),
    plain(inputs="[{name: x, tensor: {shape: [1, {lower: 1, upper: 128, default: 64}], dtype: int32}}]"),
    image("size: [8, 16], color: BGR, normalize: {mean: [0, 0, 0], std: [1, 1, 1]}, resize: 8"),
    image("enumerated: [[8, 8], [16, 16]], normalize: none"),
    image("size: 8, range: {height: [4, 8], width: [8, 12]}, color: GRAYSCALE, normalize: {mean: [0], std: [1]}"),
    model("inputs: [{name: image, image: {}}]"),
    model("metadata: {license: no, version: '1.0'}"),  # not Norway's `no`: text, as editors read it
    model("extra: [labels.txt, tokens/vocab.json]"),
    model("classifier: {labels: torchvision}\n    validate: {labelled: {path: pictures, min_accuracy: 0.5}}"),
    model("classifier: {labels: torchvision}\n    validate: {labelled: {path: pictures/all.csv, max_top5_drop: 0.5}}"),
    model("validate: {labelled: {path: heldout.npz, segmentation: {output: out, ignore: null}, min_mean_iou: 0.5}}"),
    model("validate: {labelled: {path: heldout.npz, detection: {boxes: b, scores: s}, max_map50_drop: 0.01}}"),
    model("validate: {baseline: ../new.json, gates: {skip: {top1: no reason}, outputs: {out: {psnr_db: 40}}}}"),
    model() + "publish: [{directory: ../public}]",
    model() + "publish: [{github: }, {github: owner/repo}, {github: {tag: v1, notes: text, latest: false}}]",
    model()
    + "publish: [{s3: bucket}, {s3: {bucket: b.c, prefix: 'models/{name}/{tag}-{sha}/', endpoint: 'http://h:9'}}]",
    "\ufeff" + model(),
    model().replace("\n", "\r\n"),
    model("route: &r [direct, onnx]") + "defaults: {route: *r}".replace("*r", "auto"),
    plain("").replace("plain.py:build", "plain.py:Net"),
    plain("").replace("plain.py:build", "net.py:sqrt"),  # `from math import *`: only running it would tell
    plain("").replace("plain.py:build", "package.net:build"),
    plain("").replace("plain.py:build", "torch.nn:Identity"),  # an installed package, not opened now
    f"defaults: {{route: direct}}\n{model(source=f'{{onnx: {{path: w.onnx, sha256: {SHA}}}}}')}",
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_manifest_is_read(said: Said, text: str) -> None:
    assert said(text) == []


def test_every_complaint_is_made_at_once_and_in_order(said: Said) -> None:
    text = """
defaults: {formats: [mlmodl], wieghts: 3}
models:
  - name: one
    source: {torchvision: resnet5, checkpoint: {url: "http://h/w.pth"}}
    metadata: {author: 3}
    route: [onnx, onnx]
    classifier: {softmax: maybe, labels: lables.txt}
  - name: ONE
    source: {onnx: w.onnx}
    extra: [no.json]
publish: [{directory: .}, 3]
"""
    places = [line.split(" ")[0] for line in said(text)]
    assert places == [
        "2:22:", "2:31:", "5:27:", "5:54:", "6:24:", "7:19:", "8:27:", "8:42:", "9:11:", "10:20:", "11:13:",
        "12:23:", "12:27:",
    ]  # fmt: skip


def test_what_defaults_say_wrong_is_said_once_and_where_it_is_written(said: Said) -> None:
    models = "\n".join(f"  - {{name: m{i}, source: {{torchvision: resnet50}}}}" for i in range(3))
    text = f"defaults:\n  classifier: {{softmax: true, sigmoid: true}}\n  extra: [no.json]\nmodels:\n{models}\n"
    complaints = said(text)
    assert [line.split(" ")[0] for line in complaints] == ["2:40:", "3:11:"]


def test_half_a_record_in_defaults_is_right_where_each_model_says_the_other_half(said: Said) -> None:
    defaults = "defaults: {validate: {labelled: {min_accuracy: 0.5}}, inputs: [{name: x}], classifier: {}}"
    rest = "validate: {labelled: {path: heldout.npz}}, inputs: [{name: x, image: {}}]"
    text = f"{defaults}\nmodels:\n  - {{name: a, source: {{torchvision: resnet50}}, {rest}}}\n"
    assert said(text) == []
    assert [line.split(" ")[0] for line in said(text.replace(rest, ""))] == ["1:33:", "1:64:"]


def test_credentials_in_an_address_are_never_repeated(said: Said) -> None:
    text = model(source=f"{{onnx: {{url: 'https://me:hunter2@h/w.onnx', sha256: '{SHA}'}}}}")
    assert "hunter2" not in "".join(said(text))


@pytest.fixture
def read(repository: Path) -> Callable[[str], object]:
    def _read(text: str) -> object:
        path = repository / "models" / "right.yml"
        path.write_text(text, encoding="utf-8")
        return read_manifest(path)

    return _read


def test_defaults_are_merged_key_by_key_and_lists_replaced(read) -> None:
    manifest = read("""
defaults:
  metadata: {author: A, license: MIT}
  classifier: {softmax: true}
  formats: [mlmodel, mlpackage]
  validate: {gates: {psnr_db: 40}}
models:
  - {name: a, source: {torchvision: resnet50}, metadata: {license: BSD}, formats: [mlpackage]}
  - {name: b, source: {torchvision: resnet50}, classifier: null, validate: {gates: {top1: 0.5}}}
""")
    a, b = manifest.models
    assert (a.metadata.author, a.metadata.license) == ("A", "BSD")
    assert a.classifier.softmax
    assert b.classifier is None
    assert [type(entry) for entry in a.formats] == [MlpackageFormat]
    assert [target.format for target in b.targets] == ["mlmodel", "mlpackage"]
    assert b.validation.limits == {"psnr_db": 40.0, "top1": 0.5}


@pytest.mark.parametrize(
    ("route", "source", "routes", "is_auto"),
    [
        ("auto", "{torchvision: resnet50}", ("direct", "onnx"), True),
        ("direct", "{torchvision: resnet50}", ("direct",), False),
        ("[direct, onnx]", "{torchvision: resnet50}", ("direct", "onnx"), False),
        ("auto", f"{{onnx: {{path: w.onnx, sha256: {SHA}}}}}", ("onnx",), False),
    ],
)
def test_the_routes_to_take(read, route: str, source: str, routes: tuple[str, ...], is_auto: bool) -> None:
    found = read(model(f"route: {route}", source=source)).models[0]
    assert (found.routes, found.is_auto) == (routes, is_auto)


def test_an_onnx_source_takes_onnx_whatever_the_defaults_say(read) -> None:
    text = f"defaults: {{route: direct}}\n{model(source=f'{{onnx: {{path: w.onnx, sha256: {SHA}}}}}')}"
    assert read(text).models[0].routes == ("onnx",)


def test_a_model_knows_its_place_and_survives_the_way_to_a_worker(read, repository: Path) -> None:
    manifest = read(model())
    found = pickle.loads(pickle.dumps(manifest.models[0]))
    assert found == manifest.models[0]
    assert found.place == "models/right.yml:2:5 net"  # from the root: the record tells nothing of the machine
    assert found.folder == manifest.folder == repository / "models"
    assert manifest.root == repository


def test_targets_have_the_formats_defaults(read) -> None:
    mlmodel, mlpackage = read(model()).models[0].targets
    assert (mlmodel.deployment_target, mlmodel.compute_precision) == ("iOS13", "float32")
    assert (mlpackage.deployment_target, mlpackage.compute_precision) == ("iOS16", "float16")
    assert mlpackage.float32_ops == ()


def test_a_target_has_the_ops_that_stay_in_float32(read) -> None:
    (target,) = read(model("formats: [{mlpackage: {float32_ops: [Softmax, encoder.layer.0]}}]")).models[0].targets
    assert target.float32_ops == ("Softmax", "encoder.layer.0")


def test_a_manifest_that_is_not_there_names_the_one_that_is(repository: Path) -> None:
    (repository / "right.yml").write_text(model(), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"did you mean .*right\.yml"):
        read_manifest(repository / "rihgt.yml")
    with pytest.raises(ManifestError, match="Is a directory"):
        read_manifest(repository)


def test_without_git_the_manifests_folder_is_all_there_is(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("weights")
    path = tmp_path / "models" / "models.yml"
    path.parent.mkdir()
    path.write_text(model(source="{torchvision: resnet50, checkpoint: ../w.pth}"))
    with pytest.raises(ManifestError, match=r"no \.git is found above the manifest"):
        read_manifest(path)


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from converter.manifest import read_manifest; read_manifest('examples/models.yml');"
        "print(*{'torch', 'numpy', 'coremltools', 'onnx', 'PIL', 'torchvision'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.strip() == ""
