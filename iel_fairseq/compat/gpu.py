"""What a GPU computes with."""

from __future__ import annotations

import torch


def attend_without_cudnn() -> None:
    """Let PyTorch compute attention in half precision with its own kernels, not with cuDNN's.

    On recent GPUs torch 2.11 takes cuDNN's first. These are compiled anew, for some ten milliseconds, for each shape:
    in decoding, whose keys grow, at each step, and in training for each batch of another length.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
