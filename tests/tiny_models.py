"""Real fairseq models with random weights and a dictionary of ten words, built in milliseconds."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.fconv import FConvModel
from fairseq.models.fconv import base_architecture as fconv_architecture
from fairseq.models.lightconv import LightConvModel
from fairseq.models.lightconv import base_architecture as lightconv_architecture
from fairseq.models.lstm import LSTMModel
from fairseq.models.lstm import base_architecture as lstm_architecture
from fairseq.models.nat import NATransformerModel
from fairseq.models.nat.nonautoregressive_transformer import base_architecture as nonautoregressive_architecture
from fairseq.models.transformer import TransformerModel, base_architecture
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf

from iel_fairseq.enhancement import Enhancement

PAD, EOS, UNK = 1, 2, 3  # fairseq's own numbers; words are 4 to 13


def make_task(**cfg) -> TranslationTask:
    dictionary = Dictionary()
    for index in range(10):
        dictionary.add_symbol(f"w{index}")
    return TranslationTask(TranslationConfig(**cfg), dictionary, dictionary)


def make_transformer(seed: int = 1, layers: int = 2, max_positions: int = 64, **options) -> TransformerModel:
    args = Namespace(
        encoder_embed_dim=16, encoder_ffn_embed_dim=32, encoder_layers=layers, encoder_attention_heads=4,
        decoder_embed_dim=16, decoder_ffn_embed_dim=32, decoder_layers=layers, decoder_attention_heads=4,
        max_source_positions=max_positions, max_target_positions=max_positions, dropout=0.3,
    )  # fmt: skip
    vars(args).update(options)
    base_architecture(args)
    torch.manual_seed(seed)
    return _sharpen(TransformerModel.build_model(args, make_task()))


def make_nonautoregressive() -> NATransformerModel:
    args = Namespace(encoder_embed_dim=16, encoder_layers=1, decoder_embed_dim=16, decoder_layers=1)
    nonautoregressive_architecture(args)
    return NATransformerModel.build_model(args, make_task())


def make_lightconv() -> LightConvModel:
    args = Namespace(
        encoder_embed_dim=16, encoder_layers=1, encoder_kernel_size_list=[3], encoder_conv_type="lightweight",
        decoder_embed_dim=16, decoder_layers=1, decoder_kernel_size_list=[3], decoder_conv_type="lightweight",
        weight_softmax=True,
    )  # fmt: skip
    lightconv_architecture(args)
    return LightConvModel.build_model(args, make_task())


def checkpoint_of(data: Path, **memory: Any) -> dict[str, Any]:
    """What a training of :func:`make_transformer` on the data folder *data* would have saved.

    Args:
        data: with dictionaries of the ten words for ``src`` and ``tgt``
        memory: what it remembers of its extractor, as an ``Enhancement`` has it
    """
    sizes = {"embed_dim": 16, "ffn_embed_dim": 32, "layers": 1, "attention_heads": 4}
    options = Namespace(
        arch="transformer", task="attn_enhanced_translation", criterion="cross_entropy", optimizer="adam", lr=[0.1],
        lr_scheduler="fixed", data=str(data), source_lang="src", target_lang="tgt",
        max_source_positions=64, max_target_positions=64,
        **{f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in sizes.items()},
    )  # fmt: skip
    base_architecture(options)
    cfg = OmegaConf.to_container(convert_namespace_to_omegaconf(options))
    memory = {"extractor": "extractor.pt", "extractor_sha256": "0" * 64, "attn_heads": (0, 1), **memory}
    return {
        "cfg": {**cfg, "model": {**vars(options), "_name": "transformer"}},
        "args": None,
        "model": make_transformer(layers=1).state_dict(),
        "optimizer_history": [{"optimizer_name": "A", "lr_scheduler_state": {}, "num_updates": 5}],
        "task_state": Enhancement(**memory).to_task_state(),
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}, "best": 1.0},
        "last_optimizer_state": {},
    }


def make_fconv(seed: int = 1, max_positions: int = 64, attention: str = "True") -> FConvModel:
    args = Namespace(
        encoder_embed_dim=16, encoder_layers="[(16, 3)] * 2", max_source_positions=max_positions,
        decoder_embed_dim=16, decoder_layers="[(16, 3)] * 3", decoder_out_embed_dim=16,
        decoder_attention=attention, max_target_positions=max_positions, dropout=0.1,
        encoder_embed_path=None, decoder_embed_path=None,
    )  # fmt: skip
    fconv_architecture(args)
    torch.manual_seed(seed)
    return FConvModel.build_model(args, make_task()).eval()


def make_lstm(seed: int = 1) -> LSTMModel:
    args = Namespace(encoder_embed_dim=16, decoder_embed_dim=16, decoder_out_embed_dim=16, dropout=0.1)
    args.max_source_positions = args.max_target_positions = 64
    args.criterion = "cross_entropy"  # an adaptive softmax asks for it
    lstm_architecture(args)
    torch.manual_seed(seed)
    return _sharpen(LSTMModel.build_model(args, make_task()))


def _sharpen(model):
    """Eval mode, and outputs far enough apart that no comparison hangs on the last bit."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "embed_positions" not in name:
            parameter.data.mul_(8 if "encoder_attn" in name else 3)
    return model.eval()


def batch(*sentences: list[int], left_pad: bool = False, columns: int | None = None) -> torch.Tensor:
    """Sentences, without ``</s>``, as a padded batch with it: int64 ``(B, columns)``."""
    width = columns or max(len(sentence) for sentence in sentences) + 1
    rows = []
    for sentence in sentences:
        padding = [PAD] * (width - len(sentence) - 1)
        rows.append([*padding, *sentence, EOS] if left_pad else [*sentence, EOS, *padding])
    return torch.tensor(rows)
