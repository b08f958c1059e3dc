"""What a GPU computes with."""

from __future__ import annotations

import torch


def attend_without_cudnn() -> None:
    """Let PyTorch compute attention in half precision with its own kernels, not with cuDNN's.

    On recent GPUs recent versions take cuDNN's first, which are compiled anew for each shape: in decoding, whose keys
    grow, at each step, and in training for each batch of another length. (What that costs is not measured here.)
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
