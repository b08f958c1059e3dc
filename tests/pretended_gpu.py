"""A GPU that is pretended, for machines without one: its tensors lie in the CPU's memory, but in no other company.

What it finds is code that takes a GPU's tensors together with the CPU's, or NumPy for a GPU's. What it knows nothing
about is speed, memory, precision, and several GPUs. The tests that are marked ``gpu`` run on it by::

    python -m pytest -m gpu --slow --pretended-gpu

As a script it starts ``iel``, or one of fairseq's commands, on it::

    python tests/pretended_gpu.py fairseq-generate DATA-BIN ...
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import torch
from forked import run_here
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "a pretended GPU"
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
aten = torch.ops.aten


class OnGPU(Tensor):
    """A tensor that says it is on the GPU. PyTorch's own code takes it for one of the CPU, so that gradients flow."""

    def __new__(cls, held: Tensor) -> OnGPU:
        """
        Args:
            held: its numbers
        """
        self = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # A GPU takes single numbers of the CPU's, and a tensor of its to copy it, as an index, or as lengths.
        if function is not aten.copy_.default and function not in _WITH_LENGTHS:
            alike = (args[0], args[2:], kwargs) if function in _INDEXING else (args, kwargs)
            foreign = [each for each in tree_leaves(alike) if isinstance(each, Tensor) and not isinstance(each, OnGPU)]
            if any(each.dim() > 0 for each in foreign):
                raise RuntimeError(
                    f"tensors on two devices, the CPU's of {[*map(Tensor.size, foreign)]}, in {function}"
                )
        found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
        if function in _WITH_LENGTHS:
            return OnGPU(found[0]), found[1]
        if function._schema.is_mutable and isinstance(found, Tensor):
            return kwargs.get("out", args[0])
        return tree_map(_on_gpu, found)

    def __format__(self, form: str) -> str:
        return format(self.held, form)

    def __repr__(self, **kwargs: Any) -> str:
        return f"OnGPU({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, **kwargs: Any) -> Any:
        raise TypeError("can't convert a GPU's tensor to numpy")

    __array__ = numpy


_INDEXING = {aten.index.Tensor, aten.index_put_.default}
_WITH_LENGTHS = {aten._pack_padded_sequence.default}
_MAKING = {"zeros", "ones", "full", "empty", "arange", "tensor"}


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGPU) else value


def _on_gpu(value: Any) -> Any:
    return OnGPU(value) if isinstance(value, Tensor) else value


class _ToGPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return OnGPU(tensor.detach().clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _held(gradient)


class _ToCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: OnGPU) -> Tensor:
        return tensor.held.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return OnGPU(gradient)


def _moved(tensor: Tensor, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
    if device == GPU and not isinstance(tensor, OnGPU):
        tensor = _ToGPU.apply(tensor)
    elif device == CPU and isinstance(tensor, OnGPU):
        tensor = _ToCPU.apply(tensor)
    return tensor if dtype is None or dtype == tensor.dtype else tensor.to(dtype=dtype)


def _device(named: Any) -> torch.device | None:
    if named is None:
        return None
    return GPU if isinstance(named, int) or torch.device(named).type == "cuda" else torch.device(named)


class _Devices(TorchFunctionMode):
    """What PyTorch's functions do when they name a device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, first = getattr(function, "__name__", ""), args[0] if args else None
        if name in ("to", "cuda", "cpu", "type_as") and isinstance(first, Tensor):
            return self._moving(name, *args, **kwargs)
        if name in _MAKING and kwargs.get("device") is not None:
            on_gpu = _device(kwargs["device"]) == GPU
            made = function(*tree_map(_held, args), **{**tree_map(_held, kwargs), "device": CPU})
            return OnGPU(made) if on_gpu else made
        if isinstance(first, OnGPU):
            if function in self.properties:
                return self.properties[function]
            if name == "new":
                return OnGPU(function(*tree_map(_held, args)))
            if name == "resize_":
                torch.utils.swap_tensors(first, OnGPU(function(*tree_map(_held, args))))
                return first
            if name == "_pad_packed_sequence":  # made of parts that do not say what they belong to
                padded, lengths = function(*tree_map(_held, args), **kwargs)
                return OnGPU(padded), lengths
        return function(*args, **kwargs)

    properties = {
        Tensor.device.__get__: GPU,
        Tensor.is_cuda.__get__: True,
        Tensor.is_cpu.__get__: False,
    }

    @staticmethod
    def _moving(name: str, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype = kwargs.get("device"), kwargs.get("dtype")
        for each in (*args, *([kwargs["other"]] if "other" in kwargs else [])):
            if isinstance(each, Tensor):
                device, dtype = GPU if isinstance(each, OnGPU) else CPU, each.dtype
            elif isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, str | int | torch.device) and not isinstance(each, bool):
                device = each
        device = {"cuda": GPU, "cpu": CPU}.get(name, device)
        return _moved(tensor, _device(device), dtype)


def start() -> None:
    """From now on there is a GPU in this process, and in those that are forked from it."""
    values = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": NAME,
        "get_device_properties": SimpleNamespace(name=NAME, major=9, minor=0, total_memory=2**37),
        "mem_get_info": (2**36, 2**37),
        "max_memory_allocated": 2**30,
        "get_rng_state": torch.zeros(8, dtype=torch.uint8),
    }
    nothing = (
        "set_device",
        "manual_seed",
        "manual_seed_all",
        "empty_cache",
        "reset_peak_memory_stats",
        "set_rng_state",
    )
    for name, value in {**values, **dict.fromkeys(nothing)}.items():
        setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    torch.accelerator.is_available = lambda: False  # what loaders ask before they pin batches, which wants a driver
    torch.inference_mode = lambda mode=True: torch.no_grad()  # no wrapper can be made of its tensors

    # A model's parameters are put on the GPU in place. What a ConvS2S has computed from some of its own holds them.
    torch.__future__.set_swap_module_params_on_conversion(True)
    for name in ("_apply", "_load_from_state_dict"):
        setattr(nn.Module, name, _without_computed_weights(getattr(nn.Module, name)))
    _Devices().__enter__()


def _without_computed_weights(method: Any) -> Any:
    def wrapped(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if hasattr(module, "weight_g") and isinstance(module.weight, Tensor):
            module.weight = module.weight.detach()
        return method(module, *args, **kwargs)

    return wrapped


if __name__ == "__main__":
    start()
    sys.argv = sys.argv[1:]
    run_here(sys.argv[0], sys.argv[1:])
