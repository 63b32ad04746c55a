"""A run as a record: one classifier in both formats through both routes, one auto with a way out, one failure."""

from dataclasses import replace
from pathlib import Path

import pytest

from converter.model import (
    Artifact,
    Attempt,
    BuildRecord,
    Classifier,
    Conversion,
    Gate,
    ImageInput,
    Interface,
    Metadata,
    ModelRecord,
    Normalization,
    Output,
    OutputMetrics,
    Range,
    Resize,
    SourceFile,
    Target,
    TensorInput,
    Validation,
)

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
