"""The frozen records that the stages hand on: manifest -> load -> convert -> validate -> package -> publish."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the commands that only read start without numpy
    import numpy as np

Format = Literal["mlmodel", "mlpackage"]
Route = Literal["direct", "onnx", "given"]  # given: converted elsewhere, and only checked here
MlmodelTarget = Literal["iOS13", "iOS14"]
MlpackageTarget = Literal["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"]
Precision = Literal["float32", "float16"]
ComputeUnits = Literal["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
ColorLayout = Literal["RGB", "BGR", "GRAYSCALE"]
Activation = Literal["softmax", "sigmoid"]
Device = Literal["CPU", "GPU", "Neural Engine"]
Crop = Literal["centerCrop", "scaleFit", "scaleFill"]
"""What VNCoreMLRequest.imageCropAndScaleOption can be, for pictures that are not turned."""
Tensors = Mapping[str, "np.ndarray"]


@dataclass(frozen=True)
class Range:
    """A flexible dimension or side: `lower` to `upper`, both included; the default is `lower` where it is not said."""

    lower: int
    upper: int
    default: int = 0

    def __post_init__(self) -> None:
        if not self.default:
            object.__setattr__(self, "default", self.lower)


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How pixels (0 to 255) become what the source model expects: (pixel * scale - mean) / std.

    `mean` and `std` are per channel, in the model's own channel order (B, G, R for a BGR input).
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Resize:
    """What the app does to a picture first: scale the shorter side to `shorter_side` pixels, crop the centre."""

    shorter_side: int
    interpolation: str


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """A picture as Core ML takes it; `size` is (height, width)."""

    name: str
    color: ColorLayout
    size: tuple[int, int]
    normalization: Normalization
    enumerated: tuple[tuple[int, int], ...] = ()  # further sizes, where they are enumerated
    ranges: tuple[Range, Range] | None = None  # height and width, where they are bounded ranges
    resize: Resize | None = None
    description: str = ""

    @property
    def channels(self) -> int:
        return 1 if self.color == "GRAYSCALE" else 3

    @property
    def crop(self) -> Crop:
        """What an app asks Vision for: samples cover the model's size and lose what sticks out, so Vision has to."""
        return "centerCrop"

    @property
    def central_share(self) -> float:
        """How much of the shorter side the model was made to see; Vision takes all of it."""
        if not self.resize or self.resize.shorter_side <= min(self.size):
            return 1.0
        return min(self.size) / self.resize.shorter_side


@dataclass(frozen=True, kw_only=True)
class TensorInput:
    """A multi-array; a flexible dimension is a Range, or `enumerated` lists whole shapes (the default first)."""

    name: str
    shape: tuple[int | Range, ...]
    dtype: Literal["float32", "float16", "int32"]
    enumerated: tuple[tuple[int, ...], ...] = ()
    description: str = ""

    @property
    def default_shape(self) -> tuple[int, ...]:
        return tuple(d.default if isinstance(d, Range) else d for d in self.shape)


@dataclass(frozen=True, kw_only=True)
class Output:
    """An output as the app sees it; with `color` it is an image (values 0 to 255)."""

    name: str
    dtype: Literal["float32", "float16", "int32"] = "float32"
    color: ColorLayout | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """Labels in the order of the scores; `activation` is appended to the source model's scores."""

    labels: tuple[str, ...]
    activation: Activation | None = None
    predicted_feature_name: str = "classLabel"
    probabilities_name: str = "classLabelProbs"
    repairs: tuple[str, ...] = ()  # what was changed in the label list, one sentence each, for the report


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What the app sees, the same for every route and format.

    `inputs` and `outputs` are in the source model's order and never empty. Of a classifier the first output is the
    scores; the app sees it as `classifier.probabilities_name`.
    """

    inputs: tuple[ImageInput | TensorInput, ...]
    outputs: tuple[Output, ...]
    classifier: Classifier | None = None


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What Xcode shows, and whatever else the manifest adds."""

    author: str = ""
    license: str = ""
    description: str = ""
    version: str = ""
    additional: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that went into the model: `origin` is a path relative to the manifest or a URL without credentials."""

    origin: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """A loaded model: exactly one of `module`, `exported` and `onnx_file` is set.

    `module` is a torch module or ScriptModule in eval mode, float32, on the CPU; `exported` a
    torch.export.ExportedProgram. Both take the interface's inputs in order, normalised, [1, C, H, W] for an image, and
    return a tensor or a flat tuple of tensors, one per output. `example` is one such set of inputs, as torch tensors.
    """

    name: str
    place: str  # for errors: `models.yml:14:5 resnet50`
    description: str  # one line: `torchvision mobilenet_v2, weights IMAGENET1K_V2`
    interface: Interface
    metadata: Metadata
    files: tuple[SourceFile, ...]
    module: Any = None
    exported: Any = None
    onnx_file: Path | None = None
    example: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Attachments:
    """What else the manifest names for a model, on this machine; `labelled` is an .npz, a .csv or a folder."""

    samples: tuple[Path, ...] = ()
    labelled: Path | None = None
    extra: tuple[Path, ...] = ()
    given: Mapping[Format, Path] = field(default_factory=dict)  # files that were converted elsewhere


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to build. A .mlmodel (NeuralNetwork) has no compute precision of its own: it says float32.

    `float32_ops` compute in float32 in a float16 model: op types, and names of ops or of what holds them.
    """

    format: Format
    deployment_target: str  # `iOS16`
    compute_precision: Precision
    compute_units: ComputeUnits = "ALL"
    float32_ops: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted model, not yet checked: `path` is a .mlmodel file or a .mlpackage folder."""

    route: Route
    target: Target
    path: Path
    seconds: float
    versions: Mapping[str, str]  # of the libraries that made it


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One set of inputs: an image is uint8 [H, W, 3] (RGB) or [H, W] (grayscale), already at the model's size.

    Of a labelled set a classifier's sample has its `label`, any other one its `truth`: `mask` [H, W], or `boxes` [N, 4]
    (x1, y1, x2, y2 in pixels of the input) and `classes` [N].
    """

    name: str
    inputs: Tensors
    label: str | None = None
    truth: Tensors = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LabelledTask:
    """What a labelled set asks of a model, and which of its outputs answer; an empty name is the first output.

    Of a detector without `classes` each box has a score for every class. Boxes whose score is not above `min_score`
    only fill up the array.
    """

    kind: Literal["classification", "segmentation", "detection"] = "classification"
    output: str = ""  # of a segmentation
    ignore: int | None = 255  # the pixels of a mask that do not count
    boxes: str = ""
    scores: str = ""
    classes: str = ""
    box_format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"
    normalized: bool = False  # boxes are shares of the picture's width and height
    min_score: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the source framework answers in float32, before any appended activation; outputs by interface name.

    `engine` names the framework and its version. `scores_activation` is the activation the source itself ends in,
    where its input could be reached and stands here instead of its output. Of a segmentation or a detection the
    labelled set has `labelled_predictions` instead of scores: a `mask`, or `boxes`, `scores` and `classes`.
    """

    samples: tuple[Sample, ...]
    outputs: tuple[Tensors, ...]  # one per sample
    labelled: tuple[Sample, ...]
    labelled_scores: "np.ndarray | None"  # [N, classes]
    engine: str
    seconds: float
    scores_activation: Activation | None = None
    task: LabelledTask = LabelledTask()
    labelled_predictions: tuple[Tensors, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputMetrics:
    """Candidate against reference over all samples, flattened; `on` says which values were compared.

    psnr_db is 20 log10(max|reference| / RMSE), the smallest over the samples.
    """

    output: str
    on: Literal["values", "before softmax", "before sigmoid", "probabilities"]
    psnr_db: float
    max_abs_error: float
    cosine: float
    top1_agreement: float | None = None  # of samples; None where the output has no classes
    top5_agreement: float | None = None
    near_ties: int = 0  # samples excused by the near-tie rule


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One promise and its number: `limit` from the manifest or the default, `measured`, and whether it holds."""

    name: str
    limit: float
    measured: float
    passed: bool
    words: str  # `psnr_db of classLabelProbs is 34.1, at least 35 is asked for: 0.9 too low`


@dataclass(frozen=True, kw_only=True)
class OutputLimits:
    """What is asked of one output alone; None is what is asked of every output."""

    psnr_db: float | None = None
    max_abs_error: float | None = None
    top1: float | None = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How right a saved file and its source are on the labelled set, by one metric.

    The intervals are at 95 %: Wilson's of a share, else of a bootstrap over the samples. `p_value` is that of both
    being equally right: McNemar's exact test of a share, else a paired bootstrap.
    """

    metric: Literal["top1", "top5", "mean_iou", "map", "map50"]
    samples: int
    value: float
    interval: tuple[float, float]
    reference: float
    reference_interval: tuple[float, float]
    p_value: float
    words: str  # `top-1 accuracy is 97.2 % (95 % CI 95.0 to 98.6), the source's 97.5 %; the difference is ...`


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A mistake that explains a missed gate, tried out and measured and not only suspected.

    `measured` is what the gate saw, `explained` the same number once the mistake is undone, both in `unit` ("dB" of
    PSNR, or "" for a share of right answers); what is not explained better is no cause.
    """

    name: str  # `BGR`, `averaged std`, `double softmax`
    words: str  # one sentence: what is wrong, with both numbers
    fix: str  # what to change, the manifest's lines where it is the manifest
    measured: float
    explained: float
    unit: Literal["dB", ""] = "dB"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """How one output's values lie to the reference's, over all samples and small enough for a record.

    `errors` counts the values that differ, by |candidate - reference| as a share of the sample's max|reference|: in
    quarters of a decade from 1e-8 to 1, the first and the last with what lies beyond. `cells` are the places where
    values lie on a grid of 100 by 100 from `low` to `high`, as `REFERENCE,CANDIDATE` with spaces between; of many the
    ones furthest off the diagonal, and some of the others.
    """

    output: str
    on: Literal["values", "before softmax", "before sigmoid", "probabilities"]
    values: int
    equal: int
    non_finite: int  # NaN or infinite on a side; in neither `errors` nor `cells`
    errors: tuple[int, ...]
    low: float
    high: float
    cells: str


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The five first classes of the reference and of the candidate for one sample, in the reference's order.

    Scores are probabilities where the model has an activation.
    """

    sample: str
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    candidate: tuple[float, ...]
    agreement: Literal["same", "near tie", "different"]  # of the first class, as the gate sees it


@dataclass(frozen=True, kw_only=True)
class ShownSample:
    """A sample as the report shows it: `picture` is a small data URI, empty where no input is an image."""

    name: str
    picture: str
    size: tuple[int, int] = (0, 0)  # (height, width) of what the model was given


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What the saved file answered on `engine`, held against the reference."""

    engine: str
    metrics: tuple[OutputMetrics, ...]
    gates: tuple[Gate, ...]
    accuracy: float | None  # on the labelled set: the share of right first classes
    reference_accuracy: float | None
    seconds: float
    notes: tuple[str, ...] = ()  # what weakens the promise: a check that could not fail, a value out of reach
    causes: tuple[Cause, ...] = ()  # of the gates that it misses, the best explanation first
    accuracies: tuple[Accuracy, ...] = ()  # on the labelled set, by every metric that its labels allow
    plots: tuple[Plot, ...] = ()  # of the outputs that differ most
    rankings: tuple[Ranking, ...] = ()  # of some samples, those that disagree first

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a saved file is made of: operations (or layers) by type, and how many compute in each precision."""

    ops: Mapping[str, int]
    precisions: Mapping[str, int]
    weights_bytes: int


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file of dist, named by its path relative to dist."""

    path: str
    sha256: str
    size_bytes: int
    published: bool  # listed in SHA256SUMS under its flat name


@dataclass(frozen=True, kw_only=True)
class ComparedOp:
    """One value inside a model, the same on both sides: the source's own and the saved file's."""

    op_type: str
    name: str  # of the saved file's value
    source: str  # where the source has it: a node's output, a module
    psnr_db: float
    max_abs_error: float
    peak: float  # max|reference|
    problem: str = ""  # `3 of 4096 values are infinite: beyond float16's 65504`


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Source and saved file side by side on one sample, in the order of execution; `first` differs beyond the limit.

    `first` is an index into `ops`, None where nothing differs. `culprits` are the operations that stand between the
    last value that agrees and the first that does not.
    """

    model: str
    file: str
    sample: str
    limit_db: float
    ops: tuple[ComparedOp, ...]
    first: int | None
    culprits: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    suggestion: str = ""
    float32_ops: tuple[str, ...] = ()  # with which the gates pass, where that was looked for
    stage: Literal["", "export", "conversion", "precision"] = ""  # where `first` goes wrong: torch's ONNX export, ...
    route: Route | None = None  # None for a file that was not converted here
    missed: tuple[str, ...] = ()  # the words of the gates that the file misses, over all samples


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One route to one format: a conversion, its validation, or the words of what went wrong."""

    route: Route
    format: Format
    conversion: Conversion | None = None
    validation: Validation | None = None
    contents: Contents | None = None
    error: str = ""
    exit_code: int = 0
    differs: str = ""  # of one that misses a gate without a cause: the first operation that differs from the source
    divergence: Divergence | None = None  # of one that misses a gate, where it is small enough to look for it unasked

    @property
    def passed(self) -> bool:
        return self.validation is not None and self.validation.passed and not self.error

    @property
    def words(self) -> str:
        """What went wrong: an error, or the gates that failed; empty where nothing did."""
        if self.error or self.validation is None:
            return self.error
        missed = [f"{self.format}, {self.route}: {g.words}" for g in self.validation.gates if not g.passed]
        return "\n".join([*missed, *([self.differs] if missed and self.differs else [])])

    @property
    def told(self) -> str:
        """`words`, and the causes that were found."""
        causes = self.validation.causes if self.validation else ()
        said = [f"{self.format}, {self.route}: cause: {c.name}: {c.words}\n  fix: {c.fix}" for c in causes]
        return "\n".join([self.words, *said])


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """Everything that happened to one model of the manifest."""

    name: str
    place: str  # `models.yml:14:5 resnet50`
    source: str
    source_files: tuple[SourceFile, ...]
    attempts: tuple[Attempt, ...]
    artifacts: tuple[Artifact, ...]
    interface: Interface | None
    metadata: Metadata
    notes: tuple[str, ...]
    error: str  # empty when the model is complete
    exit_code: int
    seconds: Mapping[str, float]  # by stage
    commit: str = ""  # of the user's repository, with `-dirty` where files differ from it
    ingredients: Mapping[str, str] = field(default_factory=dict)  # what it is made of: a name, a sha256 or a version
    key: str = ""  # sha256 over the ingredients; two models with the same key have the same bytes
    reused: bool = False  # taken from an earlier run, not converted in this one
    samples: tuple[ShownSample, ...] = ()  # those of the rankings, else the first ones

    @property
    def passed(self) -> bool:
        return not self.error


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """What an output folder holds; dist/build.json is this record as JSON."""

    manifest: str
    commit: str
    models: tuple[ModelRecord, ...]
    seconds: float
    expected: tuple[str, ...] = ()  # every model of the manifest, in its order
    shard: str = ""  # `2/4` where this is one of several parts of the manifest
    manifest_sha256: str = ""  # tells parts of two manifests apart where no commit does
    checks: "tuple[ValidationRecord, ...]" = ()  # of later checks, under Core ML say; without their placements
    schema: int = 1


@dataclass(frozen=True, kw_only=True)
class Times:
    """What one file took on one machine, which is not what it takes on another; never a gate."""

    load_s: float
    predict_s: float  # the median over `predictions`, after one that is not counted
    predictions: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where Core ML would rather run an operation, which is not a measurement of where it ran."""

    op_type: str
    name: str  # of the operation's first output, or of the layer
    preferred: Device | None  # None where Core ML does not say: of a constant, for example
    supported: tuple[Device, ...] = ()
    cost: float | None = None  # Core ML's estimate, as a share of the whole model


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """What checking a file of an output folder again came to: a validation, or the words of what went wrong.

    One that is not `required` is information: the gates are measured, and nothing is refused for them. `drift` holds
    the same answers against what the reference evaluator answered on Linux, so that `at_fault` can tell the file from
    the machine.
    """

    model: str
    file: str  # its path in the folder: `resnet18/resnet18.mlpackage.zip`
    sha256: str  # as dist/build.json has it; empty where that does not name the file
    engine: str  # `Core ML (macOS 15.1, Apple M1)`
    compute_units: ComputeUnits = "CPU_ONLY"
    required: bool = True
    validation: Validation | None = None
    drift: tuple[OutputMetrics, ...] = ()
    at_fault: Literal["", "the conversion", "the device"] = ""  # where it has not passed and that can be told
    times: Times | None = None
    placements: tuple[Placement, ...] = ()
    error: str = ""

    @property
    def passed(self) -> bool:
        return self.validation is not None and self.validation.passed and not self.error


@dataclass(frozen=True, kw_only=True)
class CompiledFile:
    """What Xcode's own tools made of a file: `artifacts` are the zipped .mlmodelc and the Swift class.

    `problems` say which tool failed, in its words, and where the compiled interface is not the manifest's.
    """

    model: str
    file: str
    artifacts: tuple[Artifact, ...] = ()  # named by their path relative to the folder they were written to
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def words(self) -> str:
        """What went wrong; empty where nothing did."""
        return "\n".join(self.problems)


@dataclass(frozen=True, kw_only=True)
class SeenPicture:
    """The first class that an app's request to Vision gave for one picture, and the reference's."""

    sample: str
    expected: str
    given: str
    confidence: float
    near_tie: bool = False  # excused by the same rule as under validate

    @property
    def passed(self) -> bool:
        return self.given == self.expected or self.near_tie


@dataclass(frozen=True, kw_only=True)
class VisionCheck:
    """An image classifier asked as the sample app asks it: VNCoreMLRequest with the crop that the model card names.

    `top1_limit` is the share of pictures that have to be named as the reference names them.
    """

    model: str
    file: str
    crop: Crop
    pictures: tuple[SeenPicture, ...] = ()
    top1_limit: float = 1.0
    error: str = ""
    notes: tuple[str, ...] = ()  # what weakens the promise

    @property
    def passed(self) -> bool:
        named = sum(picture.passed for picture in self.pictures)
        return not self.error and bool(self.pictures) and named >= self.top1_limit * len(self.pictures)

    @property
    def words(self) -> str:
        """What went wrong: an error, or the pictures that are named otherwise; empty where nothing did."""
        wrong = (f"{p.sample} is {p.given!r}, not {p.expected!r}" for p in self.pictures if not p.passed)
        return self.error or "\n".join(wrong)


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """What `validate --record` writes: one engine on one machine, and all files of an output folder."""

    engine: str  # `reference` or `coreml`
    machine: str  # `macOS 15.1, Apple M1`
    versions: Mapping[str, str]  # of what was asked, and of what asked
    commit: str  # of the folder's build.json
    files: tuple[CheckedFile, ...]
    seconds: float
    compiled: tuple[CompiledFile, ...] = ()  # only where Xcode's tools are
    vision: tuple[VisionCheck, ...] = ()
    schema: int = 1

    @property
    def app_checks(self) -> tuple[CompiledFile | VisionCheck, ...]:
        """What an app would meet."""
        return (*self.compiled, *self.vision)

    @property
    def passed(self) -> bool:
        verdicts = [file.passed for file in self.files if file.required]
        verdicts += [check.passed for check in self.app_checks]
        return bool(self.files) and all(verdicts)


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """One job's share of a manifest: `shard` is `2/4`; `size_bytes` is what its sources weigh, as far as is known."""

    shard: str
    models: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a release will hold, made without running any model's code, so that publishing can be held to it.

    `targets` are the manifest's `publish:` entries as JSON has them.
    """

    manifest: str
    commit: str
    shards: tuple[PlannedShard, ...]
    targets: tuple[Any, ...] = ()
    schema: int = 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that publishing does, or with --dry-run would do, to one file or to the whole release."""

    action: str  # `upload`, `skip`, `replace`, `remove`, `create`, `publish`
    name: str
    reason: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file where people download it."""

    name: str
    size_bytes: int
    sha256: str
    url: str
    action: Literal["uploaded", "replaced", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What publishing to one target came to; `outputs` are for the workflow (release_url, release_id, s3_uris)."""

    target: str  # `github OWNER/REPO v1.0`
    files: tuple[PublishedFile, ...]
    outputs: Mapping[str, str] = field(default_factory=dict)
