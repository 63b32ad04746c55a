"""A run as a record: one classifier in both formats through both routes, one auto with a way out, one failure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.model import (
    Artifact,
    Attempt,
    BuildRecord,
    Cause,
    CheckedFile,
    Classifier,
    ComparedOp,
    CompiledFile,
    Contents,
    Conversion,
    Divergence,
    Gate,
    ImageInput,
    Interface,
    Metadata,
    ModelRecord,
    Normalization,
    Output,
    OutputMetrics,
    Placement,
    Range,
    Ranking,
    Reference,
    Resize,
    Sample,
    SeenPicture,
    SourceFile,
    Target,
    TensorInput,
    Times,
    Validation,
    ValidationRecord,
    VisionCheck,
)
from converter.validate import shown
from converter.validate.accuracy import share

PHOTOS = Path(__file__).parents[2] / "examples/images"
VERSIONS = {"torch": "2.7.0", "coremltools": "9.0"}


def artifact(path: str, size_bytes: int, published: bool = True) -> Artifact:
    return Artifact(path=path, sha256=f"{size_bytes:064x}", size_bytes=size_bytes, published=published)


def validation(psnr_db: float, limit_db: float, **more) -> Validation:
    metrics = OutputMetrics(
        output="classLabelProbs",
        on="before softmax",
        psnr_db=psnr_db,
        max_abs_error=0.00123456,
        cosine=0.99999991,
        top1_agreement=1.0,
        top5_agreement=0.95,
        near_ties=1,
    )
    passed = psnr_db >= limit_db
    miss = "" if passed else f": {limit_db - psnr_db:.3g} dB too low"
    gates = (
        Gate(
            name="psnr_db",
            limit=limit_db,
            measured=psnr_db,
            passed=passed,
            words=f"psnr_db of classLabelProbs is {psnr_db:.4g} dB, at least {limit_db:.4g} dB is asked for{miss}",
        ),
        Gate(name="top1", limit=1.0, measured=1.0, passed=True, words="top1 of classLabelProbs is 1"),
    )
    return Validation(
        **{
            "engine": "the reference evaluator",
            "metrics": (metrics,),
            "gates": gates,
            "accuracy": 0.98056,
            "reference_accuracy": 0.98056,
            "seconds": 0.75,
            **more,
        }
    )


def attempt(name: str, route: str, format_: str, psnr_db: float, **more) -> Attempt:
    package = format_ == "mlpackage"
    target = Target(
        format=format_,
        deployment_target="iOS16" if package else "iOS13",
        compute_precision="float16" if package else "float32",
    )
    conversion = Conversion(
        route=route, target=target, path=Path("/work") / f"{name}.{format_}", seconds=2.25, versions=VERSIONS
    )
    return Attempt(
        route=route,
        format=format_,
        conversion=conversion,
        validation=validation(psnr_db, 35 if package else 90, **more),
    )


def model(name: str, **more) -> ModelRecord:
    return ModelRecord(
        **{
            "name": name,
            "place": f"models.yml:3:5 {name}",
            "source": f"factory {name}.py:build, checkpoint {name}.safetensors",
            "source_files": (SourceFile(origin=f"{name}.safetensors", sha256="a" * 64, size_bytes=123_456),),
            "attempts": (),
            "artifacts": (),
            "interface": None,
            "metadata": Metadata(),
            "notes": (),
            "error": "",
            "exit_code": 0,
            "seconds": {"load": 0.5, "convert": 4.5, "validate": 1.5},
            **more,
        }
    )


@pytest.fixture
def classifier() -> ModelRecord:
    image = ImageInput(
        name="image",
        color="RGB",
        size=(224, 224),
        normalization=Normalization(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        resize=Resize(shorter_side=256, interpolation="bilinear"),
        description="A photograph",
    )
    return model(
        "birds",
        attempts=(
            attempt("birds-direct", "direct", "mlmodel", 118.04),
            attempt("birds-onnx", "onnx", "mlmodel", float("inf")),
            attempt("birds-direct", "direct", "mlpackage", 61.97),
            attempt("birds-onnx", "onnx", "mlpackage", 63.2, notes=("all 4 samples belong to one class",)),
        ),
        artifacts=(
            artifact("birds/birds-direct.mlmodel", 13_600_000),
            artifact("birds/birds-onnx.mlmodel", 13_600_001),
            artifact("birds/birds-direct.mlpackage.zip", 6_900_000),
            artifact("birds/birds-onnx.mlpackage.zip", 6_900_001),
            artifact("birds/birds.labels.txt", 90),
            artifact("birds/birds.references.npz", 123_456, published=False),
        ),
        interface=Interface(
            inputs=(image,),
            outputs=(Output(name="scores", description="Probability of each bird"),),
            classifier=Classifier(
                labels=("crane", "crane (machine)", "robin", "jay", "kite", "coot"),
                activation="softmax",
                repairs=("'crane' stands twice; the second one is now 'crane (machine)'",),
            ),
        ),
        metadata=Metadata(
            author="A. *Bird* <watcher>",
            license="CC BY 4.0 | see LICENSE",
            description="# Names a bird\nin a picture",
            version="1.0",
            additional={"data set": "birds_2026"},
        ),
        notes=("1 of 2 parameters of the checkpoint were float64",),
    )


@pytest.fixture
def rescued() -> ModelRecord:
    failing = Attempt(route="direct", format="mlpackage", error="op 'weird::op' is not implemented", exit_code=4)
    good = attempt("tokens", "onnx", "mlpackage", 72.5, accuracy=None, reference_accuracy=None)
    return model(
        "tokens",
        attempts=(failing, good),
        artifacts=(artifact("tokens/tokens.mlpackage.zip", 999),),
        interface=Interface(
            inputs=(
                TensorInput(name="ids", shape=(1, Range(lower=1, upper=128, default=64)), dtype="int32"),
                TensorInput(name="mask", shape=(1, 64), dtype="int32", enumerated=((1, 64), (1, 128))),
            ),
            outputs=(Output(name="features", description="One vector"), Output(name="picture", color="RGB")),
        ),
    )


@pytest.fixture
def failed() -> ModelRecord:
    return model(
        "broken",
        attempts=(attempt("broken", "direct", "mlmodel", 62.5),),
        error="mlmodel, direct: psnr_db of classLabelProbs is 62.5 dB, at least 90 dB is asked for: 27.5 dB too low",
        exit_code=5,
    )


@pytest.fixture
def run(classifier, rescued, failed) -> BuildRecord:
    lost = model("lost", error="models.yml:9:5 lost: there is no file `lost.onnx`\n  fix: commit it", exit_code=3)
    models = (classifier, rescued, failed, replace(lost, source_files=(), seconds={"load": 0.04}))
    return BuildRecord(manifest="models.yml", commit="abc123-dirty", models=models, seconds=12.34)


COMMIT = "4f1d2c9a0b7e6d5c4b3a29181706f5e4d3c2b1a0"
MAC = "macOS 15.5, Apple M2 (Virtual)"
LABELS = ("palace", "library", "boathouse", "bell cote", "lakeside", "obelisk", "dock")
FLOWERS = ("daisy", "vase", "pot", "cardoon", "lady's slipper", "bee", "dock")


def photo(name: str) -> np.ndarray:
    with Image.open(PHOTOS / name) as picture:
        return np.asarray(picture.convert("RGB").resize((224, 224)))


def ranked(sample: str, labels: tuple[str, ...], noise: float, agreement="same") -> Ranking:
    reference = np.array([0.61, 0.17, 0.08, 0.05, 0.03, 0.02, 0.01])
    given = np.roll(reference, 1) if agreement == "different" else reference + noise * np.array([-1, 1, 0, 0, 1, 0, -1])
    return shown.ranking(sample, reference, given, labels, agreement)


def drawn(psnr_db: float, agreement="same", **more) -> Validation:
    """A validation with plots of values that are off by as much as `psnr_db` says."""
    random = np.random.default_rng(round(psnr_db * 10))
    expected = random.normal(0, 3, (1, 1000)).astype(np.float32)
    off = np.abs(expected).max() * 10 ** (-psnr_db / 20)
    plot = shown.plot("classLabelProbs", "before softmax", [expected], [expected + random.normal(0, off, (1, 1000))])
    rankings = (ranked("china.jpg", LABELS, 0.002, agreement), ranked("flower.jpg", FLOWERS, 0.001))
    accurate = share("top1", np.arange(360) < 352, np.arange(360) < 353)
    return validation(
        psnr_db, more.pop("limit_db", 35), plots=(plot,), rankings=rankings, accuracies=(accurate,), **more
    )


def filled(one: Attempt, path: str, **more) -> Attempt:
    assert one.conversion
    ops = {"conv": 52, "relu": 35, "add": 10, "cast": 2, "reduce_mean": 1, "linear": 1, "softmax": 1, "classify": 1}
    return replace(
        one,
        conversion=replace(one.conversion, path=Path("/work") / path),
        contents=Contents(ops=ops, precisions={"float16": 99, "float32": 3}, weights_bytes=6_700_000),
        **more,
    )


def photo_samples():
    pixels = {name: photo(name) for name in ("china.jpg", "flower.jpg")}
    samples = tuple(Sample(name=name, inputs={"image": array}) for name, array in pixels.items())
    return Reference(samples=samples, outputs=(), labelled=(), labelled_scores=None, engine="torch", seconds=0)


@pytest.fixture
def mobilenet(classifier) -> ModelRecord:
    """A classifier with everything that a report can show of it."""
    interface = replace(
        classifier.interface, classifier=Classifier(labels=(*LABELS, *FLOWERS[:6]), activation="softmax")
    )
    return replace(
        classifier,
        name="mobilenet_v2",
        source="torchvision mobilenet_v2, weights IMAGENET1K_V2",
        attempts=(
            filled(
                attempt("mobilenet_v2", "direct", "mlmodel", 118),
                "mobilenet_v2.mlmodel",
                validation=drawn(118, limit_db=90),
            ),
            filled(attempt("mobilenet_v2", "direct", "mlpackage", 58), "mobilenet_v2.mlpackage", validation=drawn(58)),
        ),
        artifacts=(
            artifact("mobilenet_v2/mobilenet_v2.mlmodel", 14_200_000),
            artifact("mobilenet_v2/mobilenet_v2.mlpackage.zip", 7_140_000),
            artifact("mobilenet_v2/mobilenet_v2.labels.txt", 21_675),
            artifact("mobilenet_v2/mobilenet_v2.references.npz", 801_234, published=False),
        ),
        interface=interface,
        metadata=replace(
            classifier.metadata, description="Names what a photograph shows.", author="The torchvision authors"
        ),
        notes=(),
        commit=COMMIT,
        key="9" * 64,
        samples=shown.shown_samples(photo_samples(), interface, ()),
    )


@pytest.fixture
def swapped(mobilenet) -> ModelRecord:
    """One that misses its gates, with the cause."""
    cause = Cause(
        name="BGR",
        words="The source takes its channels as B, G, R: with them exchanged PSNR is 58.4 dB and not 8.1 dB.",
        fix="image: {color: BGR}",
        measured=8.1,
        explained=58.4,
    )
    one = filled(
        attempt("a_network_with_a_rather_long_name_such_as_teams_give_them_v2", "direct", "mlpackage", 8.1),
        "a_network_with_a_rather_long_name_such_as_teams_give_them_v2.mlpackage",
        validation=drawn(8.1, "different", causes=(cause,)),
        exit_code=5,
        divergence=Divergence(
            model="a_network",
            file="a_network.mlpackage",
            sample="china.jpg",
            limit_db=35.0,
            ops=tuple(
                ComparedOp(
                    op_type="conv",
                    name=f"op_{n}",
                    source=f"features.{n}: convolution",
                    psnr_db=120.0 - 9 * n,
                    max_abs_error=0.1,
                    peak=5.0,
                )
                for n in range(12)
            ),
            first=10,
            culprits=("op_9 (clip)", "op_10 (conv)"),
            stage="conversion",
        ),
    )
    return replace(
        mobilenet,
        name="a_network_with_a_rather_long_name_such_as_teams_give_them_v2",
        attempts=(one,),
        artifacts=(),
        error=one.told,
        exit_code=5,
    )


@pytest.fixture
def mac() -> ValidationRecord:
    """What a Mac said of mobilenet_v2: good on its CPU, not on its Neural Engine."""
    package, digest = "mobilenet_v2/mobilenet_v2.mlpackage.zip", f"{7_140_000:064x}"

    def checked(units: str, psnr_db: float, **more) -> CheckedFile:
        said = drawn(psnr_db, engine=f"Core ML ({MAC})", causes=())
        return CheckedFile(
            **{
                "model": "mobilenet_v2", "file": package, "sha256": digest, "engine": f"Core ML ({MAC})",
                "compute_units": units, "validation": said, "drift": said.metrics, **more,
            }
        )  # fmt: skip

    placements = tuple(
        Placement(op_type=op, name=f"{op}_{index}", preferred=device, supported=("CPU", "GPU"), cost=cost)
        for op, count, device, cost in (
            ("conv", 52, "Neural Engine", 0.0171),
            ("add", 10, "GPU", 0.004),
            ("const", 9, None, None),
        )
        for index in range(count)
    )
    return ValidationRecord(
        engine="coreml",
        machine=MAC,
        versions={"coremltools": "9.0", "numpy": "2.3.5"},
        commit="abc123-dirty",
        files=(
            checked("CPU_ONLY", 56, times=Times(load_s=0.212, predict_s=0.00431, predictions=20)),
            checked("CPU_AND_NE", 21, required=False, at_fault="the device", placements=placements),
        ),
        seconds=31.0,
        compiled=(
            CompiledFile(
                model="mobilenet_v2",
                file=package,
                artifacts=(artifact("mobilenet_v2.mlmodelc.zip", 7_150_000), artifact("mobilenet_v2.swift", 9_100)),
            ),
        ),
        vision=(
            VisionCheck(
                model="mobilenet_v2",
                file=package,
                crop="centerCrop",
                pictures=(
                    SeenPicture(sample="china.jpg", expected="palace", given="palace", confidence=0.6123),
                    SeenPicture(sample="flower.jpg", expected="daisy", given="vase", confidence=0.41, near_tie=True),
                ),
            ),
        ),
    )


@pytest.fixture
def whole(mobilenet, swapped, rescued, mac) -> BuildRecord:
    """A run of which everything is known: the build, a failure, and a Mac."""
    return BuildRecord(
        manifest="models.yml",
        commit=COMMIT,
        models=(mobilenet, swapped, rescued),
        seconds=93.4,
        checks=(mac,),
    )


@pytest.fixture
def before(whole, mobilenet) -> BuildRecord:
    """The release before it: larger, slower, and with a model that is gone."""
    (mac,) = whole.checks
    first, second = mobilenet.attempts
    fewer = replace(second, contents=replace(second.contents, ops={**second.contents.ops, "conv": 53, "clip": 35}))
    old = replace(
        mobilenet,
        attempts=(first, replace(fewer, validation=replace(drawn(49.5), accuracy=0.97))),
        artifacts=tuple(
            replace(a, size_bytes=7_600_000) if a.path.endswith(".zip") else a for a in mobilenet.artifacts
        ),
    )
    slow = replace(mac.files[0], times=Times(load_s=0.2, predict_s=0.0061, predictions=20))
    gone = model("mobilenet_v1")
    return replace(whole, commit="0a1b2c3", models=(old, gone), checks=(replace(mac, files=(slow,)),))
