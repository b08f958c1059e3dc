"""Where to compute, and in which precision."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def chosen_device(cpu: bool) -> torch.device:
    """The GPU where there is one, unless *cpu* is asked for."""
    return torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")


def chosen_dtype(fp16: bool, bf16: bool) -> torch.dtype:
    """The precision that fairseq's options of these names ask for."""
    return torch.float16 if fp16 else torch.bfloat16 if bf16 else torch.float32


def of_device(amounts: Mapping[str, int], device: torch.device) -> int:
    """The one of *amounts* that is meant for *device*: ``cpu``'s, or ``cuda``'s for any other."""
    return amounts["cpu" if device.type == "cpu" else "cuda"]
