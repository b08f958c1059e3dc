"""Libraries around fairseq: what is imported of them, and how they compute."""

from __future__ import annotations

import importlib
import sys

import torch


def hide_broken_torchaudio() -> None:
    """Make a torchaudio that cannot be imported look as if it were not installed.

    fairseq depends on torchaudio, whose wheels are linked against CUDA. Beside a CPU build of torch they raise
    ``OSError`` on import, and transformers, which looks for an installed torchaudio and imports it, fails with
    it. Translation and text classification need no torchaudio.
    """
    try:
        importlib.import_module("torchaudio")
    except ImportError:
        pass  # absent: nothing to hide
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio"] = None  # type: ignore[assignment]  # what import reads as "not found"


def attend_without_cudnn() -> None:
    """Let PyTorch compute attention in half precision with its own kernels, not with cuDNN's.

    On recent GPUs recent versions take cuDNN's first, which are compiled anew for each shape: in decoding, whose keys
    grow, at each step, and in training for each batch of another length. (What that costs is not measured here.)
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
