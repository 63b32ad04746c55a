"""`formats: - mlpackage: {file: ...}`: a file that was converted elsewhere, and what cannot be said of it."""

import pytest

MODEL = "models:\n  - {name: net, source: {torchvision: resnet50, weights: IMAGENET1K_V2}, route: %s, formats: %s}\n"


@pytest.fixture
def repository(repository):
    for name in ("theirs.mlmodel", "theirs.mlpackage.zip", "theirs.mlpackage/Manifest.json"):
        (repository / "models" / name).parent.mkdir(exist_ok=True)
        (repository / "models" / name).write_text("a model")
    return repository


def manifest(formats, route="auto"):
    return MODEL % (route, formats)


SHA = "0" * 64
RIGHT = [
    "[{mlmodel: {file: theirs.mlmodel}}]",
    "[{mlpackage: {file: theirs.mlpackage}}]",
    "[{mlpackage: {file: theirs.mlpackage/}}]",
    "[{mlpackage: {file: theirs.mlpackage.zip, compute_units: CPU_ONLY}}, mlmodel]",
    f'[{{mlpackage: {{file: {{url: "https://example.org/theirs.mlpackage.zip?signed=1", sha256: "{SHA}"}}}}}}]',
]


@pytest.mark.parametrize("formats", RIGHT)
def test_a_file_is_taken(repository, said, formats):
    assert said(manifest(formats)) == []


WRONG = [
    ("[{mlmodel: {file: theirs.mlpackage}}]", "theirs.mlpackage is no .mlmodel file; name one that ends in .mlmodel"),
    ("[{mlpackage: {file: theirs.mlmodel}}]", "no .mlpackage file; name one that ends in .mlpackage or .mlpackage.zip"),
    ("[{mlpackage: {file: their.mlpackage}}]", "there is no file their.mlpackage; did you mean theirs.mlpackage?"),
    ("[{mlpackage: {file: ../../outside/x.mlpackage}}]", "leaves the repository"),
    ("[{mlmodel: {file: theirs.mlmodel, deployment_target: iOS14}}]", "a given file has its own deployment_target"),
    ("[{mlpackage: {file: theirs.mlpackage, compute_precision: float32}}]", "has its own compute_precision"),
    (f"[{{mlpackage: {{file: {{path: theirs.mlpackage, sha256: '{SHA}'}}}}}}]", "a folder has no sha256; zip the"),
    ("[{mlpackage: {file: {url: 'https://example.org/a.mlpackage.zip'}}}]", "needs its sha256"),
]


@pytest.mark.parametrize(("formats", "words"), WRONG)
def test_what_cannot_be_is_complained_of(repository, said, formats, words):
    (line,) = said(manifest(formats))
    assert words in line


def test_all_of_it_is_said_at_once(repository, said):
    formats = "[{mlpackage: {file: theirs.mlmodel, deployment_target: iOS17, compute_precision: float32}}]"
    assert len(said(manifest(formats))) == 3


def test_a_given_file_takes_no_route_and_the_other_format_takes_its_own(repository):
    from converter.manifest import read_manifest
    from converter.manifest.checks import flat_names

    path = repository / "models" / "given.yml"
    path.write_text(manifest("[{mlpackage: {file: theirs.mlpackage}}, mlmodel]", "[direct, onnx]"))
    (model,) = read_manifest(path).models
    assert (model.routes_to("mlpackage"), model.routes_to("mlmodel")) == (("given",), ("direct", "onnx"))
    assert model.files_count == 3
    built = [name for name, _ in flat_names(model) if ".ml" in name]
    assert built == ["net.mlpackage.zip", "net-direct.mlmodel", "net-onnx.mlmodel"]


def test_given_is_no_route_that_one_can_ask_for(said):
    assert said(manifest("[mlmodel]", "[given]")) != []
