"""Xcode's tools where there is none, for tests: `xcrun`, and the program that `swiftc` makes, which asks "Vision".

coremlcompiler writes metadata.json by the rules of coremltools' mlmodel/src/DataType.cpp, in the form of files that
Xcode 15 and later have made. The program crops as VNImageCropAndScaleOption says, and asks the reference evaluator.
Both take, instead of a model, a file of JSON that stands for one: its `metadata`, and `weights` [H * W * C, classes].

STAND_IN_XCODE is JSON: the name of a tool (compile, generate, swiftc, classify, or one that xcrun --find is asked for)
and what goes wrong with it, one of FAULTS, or a change of metadata.json: a list of a path in it and the new value.
"""

import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

FAULTS = {
    "hang": lambda: time.sleep(3600),
    "abort": lambda: (os.write(2, b"libc++abi: a stand-in for what it printed\n"), os.abort()),
    "fail": lambda: sys.exit("coremlc: Error: a stand-in for what it says"),
    "fail aloud": lambda: (print("printed on standard output"), sys.exit(1)),
    "nothing": lambda: sys.exit(0),
    "rubbish": lambda: (print("\x00\N{SNOWMAN} {"), sys.exit(0)),
}
_COLORS = {10: "Grayscale", 20: "RGB", 30: "BGR"}
_TYPES = {65600: "Double", 65568: "Float32", 65552: "Float16", 131104: "Int32"}


def main(tool, *arguments):
    if tool == "--find":
        fault(arguments[0])
        print(f"/Applications/Xcode.app/{arguments[0]}")
    elif tool == "coremlcompiler":
        command, model, folder, *options = arguments
        fault(command)
        assert Path(folder).is_dir(), f"coremlc: error: {folder} is no folder"
        assert options == ([] if command == "compile" else ["--language", "Swift"]), options
        {"compile": compile_, "generate": generate}[command](Path(model), Path(folder))
    elif tool == "swiftc":
        fault(tool)
        *_, source, option, built = arguments
        assert (Path(source).name, option) == ("classify.swift", "-o"), arguments
        program = f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" classify "$@"\n'
        Path(built).write_text(program)
        Path(built).chmod(stat.S_IRWXU)
    elif tool == "classify":
        fault(tool)
        classify(*arguments)
    else:
        sys.exit(f'xcrun: error: unable to find utility "{tool}", not a developer tool or in PATH')


def fault(tool):
    wrong = json.loads(os.environ.get("STAND_IN_XCODE", "{}")).get(tool)
    if wrong == "missing":
        print(f'xcrun: error: unable to find utility "{tool}", not a developer tool or in PATH', file=sys.stderr)
        sys.exit(72)
    if isinstance(wrong, str):
        FAULTS[wrong]()
    return wrong


def compile_(model, folder):
    compiled = folder / f"{model.stem}.mlmodelc"
    compiled.mkdir()
    told = metadata(model)
    if change := fault("compile"):
        *path, last, value = change
        place = told
        for key in path:
            place = place[key]
        place[last] = value
    (compiled / "metadata.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    (compiled / "analytics").mkdir()
    (compiled / "analytics" / "coremldata.bin").write_bytes(b"a")
    (shutil.copytree if model.is_dir() else shutil.copyfile)(model, compiled / model.name)


def written(model):
    """The JSON that stands for a model, in its file or in its package; None where it is a model."""
    file = model / "model.json" if model.is_dir() else model
    text = file.read_bytes() if file.is_file() else b""
    return json.loads(text) if text.startswith(b"{") else None


def generate(model, folder):
    name = model.stem.replace("-", "_")
    (folder / f"{name}.swift").write_text(f"import CoreML\n\nclass {name} {{}}\n")


def metadata(model):
    if stands := written(model):
        return stands["metadata"]
    import coremltools

    spec = coremltools.utils.load_spec(str(model))
    told = {
        "metadataOutputVersion": "3.0",
        "specificationVersion": spec.specificationVersion,
        "inputSchema": [feature(f) for f in spec.description.input],
        "outputSchema": [feature(f) for f in spec.description.output],
        "generatedClassName": model.stem.replace("-", "_"),
        "method": "predict",
    }
    if spec.WhichOneof("Type") == "neuralNetworkClassifier":
        told["classLabels"] = list(spec.neuralNetworkClassifier.stringClassLabels.vector)
    return [told]


def feature(described):
    kind = described.type.WhichOneof("Type")
    told = {"name": described.name, "shortDescription": described.shortDescription, "isOptional": "0"}
    value = getattr(described.type, kind)
    if kind == "imageType":
        told |= {
            "type": "Image",
            "width": str(value.width),
            "height": str(value.height),
            "colorspace": _COLORS[value.colorSpace],
            "isColor": "0" if value.colorSpace == 10 else "1",
            "hasSizeFlexibility": "1" if value.WhichOneof("SizeFlexibility") else "0",
            "formattedType": f"Image ({value.width} \N{MULTIPLICATION SIGN} {value.height})",
        }
        if value.WhichOneof("SizeFlexibility") == "enumeratedSizes":
            told["enumeratedSizes"] = str([[size.width, size.height] for size in value.enumeratedSizes.sizes])
        elif value.WhichOneof("SizeFlexibility"):
            told["sizeRange"] = bounds(value.imageSizeRange.widthRange, value.imageSizeRange.heightRange)
    elif kind == "multiArrayType":
        told |= {
            "type": "MultiArray",
            "dataType": _TYPES[value.dataType],
            "shape": str(list(value.shape)),
            "hasShapeFlexibility": "1" if value.WhichOneof("ShapeFlexibility") else "0",
        }
        if value.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
            told["enumeratedShapes"] = str([list(shape.shape) for shape in value.enumeratedShapes.shapes])
        elif value.WhichOneof("ShapeFlexibility"):
            told["shapeRange"] = bounds(*value.shapeRange.sizeRanges)
    elif kind == "dictionaryType":
        told |= {
            "type": "Dictionary",
            "keyType": "String",
            "formattedType": "Dictionary (String \N{RIGHTWARDS ARROW} Double)",
        }
    else:
        told |= {"type": "String", "formattedType": "String"}
    return told


def bounds(*ranges):
    return str([[one.lowerBound, one.upperBound] for one in ranges])


def classify(compiled, *asked):
    from PIL import Image

    (saved,) = [one for one in Path(compiled).iterdir() if one.suffix in (".mlmodel", ".mlpackage")]
    (told,) = metadata(saved)
    image = told["inputSchema"][0]
    answer = linear(written(saved)) if written(saved) else evaluated(saved, told)
    for option, picture in zip(asked[::2], asked[1::2], strict=True):
        pixels = cropped(Image.open(picture), option, (int(image["width"]), int(image["height"])))
        classes = answer(pixels)
        highest = max(classes.values())
        tied = [label for label, value in classes.items() if value == highest]
        print(json.dumps({"picture": picture, "identifiers": tied, "confidence": float(highest)}))


def linear(stands):
    import numpy as np

    def answer(pixels):
        scores = np.asarray(pixels, np.float64).ravel() @ np.array(stands["weights"])
        return dict(zip(stands["metadata"][0]["classLabels"], scores, strict=True))

    return answer


def evaluated(saved, told):
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from converter.evaluate import load_model

    model = load_model(saved)
    outputs = {feature["type"]: feature["name"] for feature in told["outputSchema"]}
    return lambda pixels: model.predict({told["inputSchema"][0]["name"]: pixels})[outputs["Dictionary"]]


def cropped(picture, option, size):
    """As VNImageCropAndScaleOption's three words are documented."""
    from PIL import Image

    if option == "scaleFill":
        return picture.resize(size, Image.Resampling.BILINEAR)
    ratios = size[0] / picture.width, size[1] / picture.height
    ratio = max(ratios) if option == "centerCrop" else min(ratios)
    scaled = picture.resize((round(picture.width * ratio), round(picture.height * ratio)), Image.Resampling.BILINEAR)
    canvas = Image.new(picture.mode, size)
    canvas.paste(scaled, ((size[0] - scaled.width) // 2, (size[1] - scaled.height) // 2))
    return canvas


if __name__ == "__main__":
    main(*sys.argv[1:])
