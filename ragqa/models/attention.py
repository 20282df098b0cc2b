"""A context that keeps torch from using cuDNN's attention on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Disable cuDNN's attention; torch then uses memory-efficient attention.

    On an H200, with torch 2.11 and bfloat16, cuDNN's attention gave NaN gradients after some batches, and it compiles again
    for every shape (`benchmarks/README.md`).
    """
    import torch

    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
