"""Dropout that draws sixteen random bits for an element instead of one random number.

On CPUs torch draws the numbers of a mask one after the other: a fifth of a training step. One draw of 64 bits gives four
elements here; the probability is rounded to a multiple of 1 / 65,536.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_STEPS = 1 << 16  # values of 16 bits
_DRAWN = 4  # elements from 64 bits


class QuickDropout(TorchFunctionMode):
    """A context in which `torch.nn.functional.dropout` is this one on CPUs, whoever calls it: modules, other libraries."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch in place of each of its functions."""
        kwargs = kwargs or {}
        return quick_dropout(*args, **kwargs) if function is torch.nn.functional.dropout else function(*args, **kwargs)


def quick_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """What `torch.nn.functional.dropout` does: elements become 0 with probability `p`, the others grow by 1 / (1 - p).

    The mask follows `torch.manual_seed`, and is another than torch's of the same seed.
    """
    if not training or not 0 < p < 1 or inplace or input.device.type != "cpu":
        with torch._C.DisableTorchFunction():
            return torch.nn.functional.dropout(input, p, training, inplace)
    count = input.numel()
    drawn = torch.empty(-(-count // _DRAWN), dtype=torch.int64).random_(-(1 << 63), None)
    kept = drawn.view(torch.int16)[:count].view(input.shape) >= round(p * _STEPS) - _STEPS // 2
    return input * (kept.to(input.dtype) * (1 / (1 - p)))
