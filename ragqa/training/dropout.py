"""Faster dropout on CPUs: sixteen random bits for each element instead of one random number.

On CPUs torch draws the random numbers of a mask one by one, which takes a fifth of a training step. Here one draw of 64 bits
serves four elements. The probability is rounded to a multiple of 1 / 65,536.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_STEPS = 1 << 16  # number of values of 16 bits
_DRAWN = 4  # elements per draw of 64 bits


class QuickDropout(TorchFunctionMode):
    """Context that replaces `torch.nn.functional.dropout` on CPUs, also inside modules and other libraries."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch instead of each of its functions."""
        kwargs = kwargs or {}
        return quick_dropout(*args, **kwargs) if function is torch.nn.functional.dropout else function(*args, **kwargs)


def quick_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Do what `torch.nn.functional.dropout` does: set elements to 0 with probability `p`, multiply the others by 1 / (1 - p).

    The mask depends on `torch.manual_seed`, but differs from torch's mask for the same seed.
    """
    if not training or not 0 < p < 1 or inplace or input.device.type != "cpu":
        with torch._C.DisableTorchFunction():
            return torch.nn.functional.dropout(input, p, training, inplace)
    count = input.numel()
    drawn = torch.empty(-(-count // _DRAWN), dtype=torch.int64).random_(-(1 << 63), None)
    kept = drawn.view(torch.int16)[:count].view(input.shape) >= round(p * _STEPS) - _STEPS // 2
    return input * (kept.to(input.dtype) * (1 / (1 - p)))
