"""Small random configurations of transformers' models, recurrent taggers and a front end for sound."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from converter.model import Range
from tests.conformance.nets.net import Net

WORDS = 99
LONGEST = 40
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_TEXT = {"vocab_size": WORDS, "max_position_embeddings": LONGEST + 8, **_SMALL}
_DECODER = {**_TEXT, "num_key_value_heads": 2, "use_cache": False}

Made = tuple[torch.nn.Module, Mapping[str, torch.Tensor]]


class Plain(torch.nn.Module):
    """A model of transformers with named inputs, as a function of tensors alone; `output` is what of it is compared."""

    def __init__(self, model: Any, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.model, self.inputs, self.output = model, inputs, output

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.model(**dict(zip(self.inputs, given, strict=True)))[self.output]
        return found


class Causal(Plain):
    """A decoder given its whole mask; torch's exporters cannot follow how transformers makes its own."""

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        ids, mask = given
        length = ids.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril() & (mask[:, None, None, :] > 0)
        hidden = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        return super().forward(ids, hidden)


def _spread(module: torch.nn.Module) -> torch.nn.Module:
    """Larger weights than the 0.02 that training begins with, so that inputs and positions matter."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, min(0.3, parameter[0].numel() ** -0.5))
        else:
            torch.nn.init.normal_(parameter, 0.0 if parameter.mean() == 0 else 1.0, 0.2)
    return module.eval()


def _text(
    model: str, config: str, options: Mapping[str, Any], inputs: tuple[str, ...], output: str, kind: type[Plain] = Plain
) -> Made:
    import transformers

    torch.manual_seed(0)
    module = getattr(transformers, model)(getattr(transformers, config)(**options))
    example = {
        name: torch.ones(1, 12, dtype=torch.long) if "mask" in name else torch.arange(12).reshape(1, 12)
        for name in inputs
    }
    return kind(_spread(module), inputs, output).eval(), example


def _seen(model: str, config: str, options: Mapping[str, Any], shape: tuple[int, ...], output: str, name: str) -> Made:
    import transformers

    torch.manual_seed(0)
    module = getattr(transformers, model)(getattr(transformers, config)(**options))
    return Plain(_spread(module), (name,), output).eval(), {name: torch.zeros(shape)}


def _clip() -> Made:
    import transformers

    config = transformers.CLIPConfig(
        text_config={**_TEXT, "eos_token_id": WORDS - 1},
        vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    inputs = ("input_ids", "pixel_values", "attention_mask")
    example = {
        "input_ids": torch.arange(12).reshape(1, 12),
        "pixel_values": torch.zeros(1, 3, 32, 32),
        "attention_mask": torch.ones(1, 12, dtype=torch.long),
    }
    return Plain(_spread(transformers.CLIPModel(config)), inputs, "logits_per_image").eval(), example


def _detr() -> Made:
    import transformers

    from tests.conformance.nets.vision import calibrated

    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, num_queries=9, num_labels=5,
    )  # fmt: skip
    image = torch.zeros(1, 3, 64, 64)
    module = Plain(transformers.DetrForObjectDetection(config).eval(), ("pixel_values",), "logits").eval()
    return calibrated(module, image), {"pixel_values": image}


class Tagger(torch.nn.Module):
    """Words to tags, read in both directions."""

    def __init__(self, cell: type[torch.nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, 16)
        self.cell = cell(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(48, 7)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.cell(self.embedding(input_ids))[0])
        return found


class Spectrum(torch.nn.Module):
    """Sound to the logarithm of its power in bands, as speech models take it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.register_buffer("bands", torch.rand(33, 10, generator=torch.Generator().manual_seed(0)))

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        # complex numbers are what the TorchScript exporter does not take
        found = torch.stft(sound, 64, 32, window=self.window, center=False, return_complex=False)
        power = found.square().sum(-1)
        return torch.log(power.transpose(1, 2) @ self.bands + 1e-3)


def _tagger(cell: type[torch.nn.RNNBase]) -> Made:
    torch.manual_seed(0)
    return Tagger(cell).eval(), {"input_ids": torch.arange(12).reshape(1, 12)}


def _spectrum() -> Made:
    return Spectrum().eval(), {"sound": torch.zeros(1, 512)}


_MASKED = ("input_ids", "attention_mask")
TEXTS: dict[str, Any] = {
    "bert": ("BertModel", "BertConfig", _TEXT, _MASKED, "last_hidden_state"),
    "bert-eager": ("BertModel", "BertConfig", {**_TEXT, "attn_implementation": "eager"}, _MASKED, "last_hidden_state"),
    "distilbert": (
        "DistilBertModel",
        "DistilBertConfig",
        {"vocab_size": WORDS, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 48},
        _MASKED,
        "last_hidden_state",
    ),
    "roberta": ("RobertaModel", "RobertaConfig", {**_TEXT, "pad_token_id": 1}, _MASKED, "last_hidden_state"),
    "gpt2": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": WORDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "use_cache": False},
        _MASKED,
        "logits",
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _DECODER, _MASKED, "logits"),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _DECODER, _MASKED, "logits"),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {
            "vocab_size": WORDS,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_heads": 4,
            "use_cache": False,
        },
        ("input_ids", "attention_mask", "decoder_input_ids"),
        "logits",
    ),
}
DECODERS = ("gpt2", "llama", "qwen2")
SEEN: dict[str, Any] = {
    "whisper-encoder": (
        "WhisperModel.encoder",
        "WhisperConfig",
        {"num_mel_bins": 8, "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64,
         "max_source_positions": 30, "decoder_layers": 1, "decoder_attention_heads": 4, "vocab_size": WORDS,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        (1, 8, 60),
        "last_hidden_state",
        "input_features",
    ),
    "vit": ("ViTModel", "ViTConfig", {**_SMALL, "image_size": 32, "patch_size": 8}, (1, 3, 32, 32), "last_hidden_state",
            "pixel_values"),
    "segformer": (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 3, 4],
         "decoder_hidden_size": 16, "num_labels": 5},
        (1, 3, 64, 64),
        "logits",
        "pixel_values",
    ),
}  # fmt: skip


def _encoder(model: str, *rest: Any) -> Made:
    import transformers

    if "." not in model:
        return _seen(model, *rest)
    config, options, shape, output, name = rest
    whole = getattr(transformers, model.split(".")[0])(getattr(transformers, config)(**options))
    return Plain(_spread(whole.get_encoder()), (name,), output).eval(), {name: torch.zeros(shape)}


def _flexible(inputs: tuple[str, ...]) -> dict[str, Any]:
    """Batch and length of each text; a decoder's length is its own."""
    dims = {name: {0: "batch", 1: "decoded" if "decoder" in name else "length"} for name in inputs}
    names = {dim for axes in dims.values() for dim in axes.values()} - {"batch"}
    return {
        "flexible": dims,
        "shapes": {"batch": Range(1, 3), **dict.fromkeys(sorted(names), Range(2, LONGEST))},
        "sizes": [
            {"batch": batch, **{name: max(2, length - (name == "decoded")) for name in names}}
            for batch, length in ((1, 2), (2, 17), (3, LONGEST), (1, LONGEST))
        ],
    }


def nets() -> list[Net]:
    found = []
    for name, given in TEXTS.items():
        decodes = {"kind": Causal} if name in DECODERS else {}
        make = partial(_text, *given, **decodes)
        found.append(Net(name, "text", make, below=WORDS))
        found.append(Net(f"{name}-flexible", "text", make, below=WORDS, **_flexible(given[3])))
    found += [
        Net(name, "transformers on pictures and sound", partial(_encoder, *given)) for name, given in SEEN.items()
    ]
    found.append(Net("clip", "transformers on pictures and sound", _clip, below=WORDS))
    found.append(Net("detr", "transformers on pictures and sound", _detr))
    for name, cell in (("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)):
        found.append(Net(f"{name}-tagger", "recurrent and signal", partial(_tagger, cell), below=WORDS))
        flexible = _flexible(("input_ids",))
        net = Net(f"{name}-tagger-flexible", "recurrent and signal", partial(_tagger, cell), below=WORDS, **flexible)
        found.append(net)
    found.append(Net("stft", "recurrent and signal", _spectrum))
    return found
