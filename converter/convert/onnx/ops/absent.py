"""The operators of ai.onnx that do not convert, and why."""

_STRINGS = "Core ML has no tensors of strings"

REASONS = {
    "ImageDecoder": "Core ML takes images that are decoded",
    "RegexFullMatch": _STRINGS,
    "StringConcat": _STRINGS,
    "StringNormalizer": _STRINGS,
    "StringSplit": _STRINGS,
    "TfIdfVectorizer": "it prepares texts, which is the app's part",
}
