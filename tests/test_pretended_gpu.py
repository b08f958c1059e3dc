"""The GPU that is pretended takes what a GPU takes, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pretended_gpu
from commands import CPU

ON_TWO_DEVICES = (
    "torch.ones(2).cuda() + torch.ones(2)",
    "torch.cat([torch.ones(2), torch.ones(2, device='cuda')])",
    "nn.Linear(2, 2)(torch.ones(1, 2).to('cuda'))",
    "nn.Embedding(3, 2).cuda()(torch.tensor([1]))",
    "torch.ones(3)[torch.tensor([0, 1]).cuda()]",
    "torch.ones(3).cuda()[torch.tensor([0, 1])] = torch.ones(2)",
)
TO_NUMPY = ("torch.ones(2).cuda().numpy()", "numpy.asarray(torch.ones(2).cuda())")
ALLOWED = """
linear, embedding = nn.Linear(2, 3, bias=False), nn.Embedding(3, 2)
embedding.weight = linear.weight
model = nn.ModuleList([linear, embedding]).to("cuda", torch.float64)
assert model[0].weight is model[1].weight  # as before
x = torch.tensor([[1.0, 2.0]]).to(model[0].weight)
model[0](x).sum().backward()
assert model[0].weight.grad.cpu().tolist() == [[1.0, 2.0]] * 3
y = x.new_zeros(2)
y[torch.tensor([1])] = x.sum() + torch.tensor(4)
assert (y.device, y.cpu().device, y.tolist(), y.argmax().item()) == (torch.device("cuda:0"), CPU, [0, 7], 1)
"""


def test_it_takes_what_a_gpu_takes():
    """All in one process, in which there is such a GPU from then on."""
    program = """
import json, sys, numpy, pretended_gpu, torch
from pretended_gpu import CPU
from torch import nn
pretended_gpu.start()
for code in json.load(sys.stdin):
    try:
        exec(code)
        print("nothing")
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([*ON_TWO_DEVICES, *TO_NUMPY, ALLOWED]),
        capture_output=True,
        text=True,
        env=CPU,
        cwd=Path(pretended_gpu.__file__).parent,
    )
    *errors, allowed = done.stdout.splitlines()
    for code, error in zip(ON_TWO_DEVICES, errors, strict=False):
        assert error.startswith("RuntimeError: tensors on two devices, the CPU's of [torch.Size("), code
    assert errors[len(ON_TWO_DEVICES) :] == ["TypeError: can't convert a GPU's tensor to numpy"] * len(TO_NUMPY)
    assert allowed == "nothing"
