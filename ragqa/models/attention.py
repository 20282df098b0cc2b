"""Which of torch's attentions may be used on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sound_attention() -> Iterator[None]:
    """A context without cuDNN's attention.

    On an H200, with torch 2.11 and bfloat16, its gradients were no numbers from some batch on, and it prepares itself anew for
    every shape: `benchmarks/README.md`. Memory-efficient attention takes its place.
    """
    import torch

    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
