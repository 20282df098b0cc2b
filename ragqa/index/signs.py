"""Vectors in, 1024 bits for each out, whose differences show which vectors are near: a quick first look at many of them.

A vector is multiplied by a random rotation, and the signs of the products are kept. Two vectors at an angle of a (in radians)
differ in about a / π of the signs (Charikar 2002, "Similarity estimation techniques from rounding algorithms").
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ragqa.storage.files import read_array

if TYPE_CHECKING:
    import numpy as np

BITS = 1024
_SEED = 0
_BLOCK = 50_000  # vectors that are turned at a time
CODES, ROTATION = "signs.npy", "rotation.npy"  # files


class Signs(NamedTuple):
    """The signs of vectors, 64 in a number: uint64, shape (BITS / 64, vectors); the rotation: float32, shape (width, BITS)."""

    codes: "np.ndarray"
    rotation: "np.ndarray"

    @classmethod
    def of(cls, vectors: "np.ndarray") -> "Signs":
        """Compute the signs of vectors: any floats, shape (vectors, width)."""
        import numpy as np

        width = vectors.shape[1]
        size = max(width, BITS)
        rotation = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((size, size)))[0][:width, :BITS]
        rotation = np.ascontiguousarray(rotation, dtype=np.float32)
        blocks = [_signs(vectors[start : start + _BLOCK], rotation) for start in range(0, len(vectors), _BLOCK)]
        return cls(np.ascontiguousarray(np.concatenate(blocks).T), rotation)

    @classmethod
    def open(cls, folder: Path) -> "Signs":
        """Map saved signs into memory."""
        return cls(read_array(folder / CODES, mapped=True), read_array(folder / ROTATION))

    def write(self, folder: Path) -> None:
        """Write the signs and the rotation into a folder."""
        import numpy as np

        for name, array in zip((CODES, ROTATION), self, strict=True):
            np.save(folder / name, array, allow_pickle=False)

    def nearest(self, vector: "np.ndarray", count: int, mask: "np.ndarray | None" = None) -> "np.ndarray":
        """Return the positions of the `count` vectors that differ in the fewest signs, and of ties with the last, ascending.

        With a mask, only its vectors count.
        """
        import numpy as np

        own = _signs(vector[None], self.rotation)[0]
        differences = np.zeros(self.codes.shape[1], dtype=np.uint16)
        for codes, word in zip(self.codes, own, strict=True):
            differences += np.bitwise_count(codes ^ word)
        places = None if mask is None else np.flatnonzero(mask)
        among = differences if places is None else differences[places]
        most = np.partition(among, count - 1)[count - 1] if count < len(among) else BITS
        near = np.flatnonzero(among <= most)
        return near if places is None else places[near]


def _signs(vectors: "np.ndarray", rotation: "np.ndarray") -> "np.ndarray":
    """The signs of vectors: uint64, shape (vectors, BITS / 64)."""
    import numpy as np

    packed: np.ndarray = np.packbits(vectors.astype(np.float32) @ rotation > 0, axis=1).view(np.uint64)
    return packed
