"""A zip archive in, the bytes of its members out, up to a limit: a small archive may hold a text of many gigabytes."""

import io
import zipfile
import zlib
from pathlib import Path

from ragqa.errors import InputError, first_line

_LARGEST = 1 << 25  # bytes of XML and HTML in an archive; a parsed tree takes many times as much memory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the only ones in EPUB and DOCX; others unpack without a limit
_MARKUP = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm")

DAMAGES = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, ValueError, LookupError)


class ZipFile:
    """An archive whose members are read one by one. All calls of `read` together give at most 32 MiB."""

    def __init__(self, path: Path, data: bytes) -> None:
        """Open an archive.

        Raises `InputError` if it is none, is encrypted or compressed in an unusual way, or if its XML and HTML is larger than
        the limit.
        """
        self._path, self._left = path, _LARGEST
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (*DAMAGES, NotImplementedError) as error:
            raise InputError(f"{path}: damaged, or not a file of its format: {first_line(error)}") from error
        members = self._archive.infolist()
        if any(member.flag_bits & 1 for member in members):
            raise InputError(f"{path}: it is encrypted; save it without a password")
        if other := next((member for member in members if member.compress_type not in _METHODS), None):
            raise InputError(
                f"{path}: its compression is method {other.compress_type}; only deflate is read, so pack it again"
            )
        self._check(sum(member.file_size for member in members if member.filename.lower().endswith(_MARKUP)))
        self._names = frozenset(member.filename for member in members)

    def __contains__(self, name: str) -> bool:
        """Return True if the archive has a member of this name."""
        return name in self._names

    def read(self, name: str) -> bytes:
        """Return a member. Raises `InputError` for more than the limit, and one of `DAMAGES` if it cannot be unpacked."""
        size = self._archive.getinfo(name).file_size
        self._check(size)
        with self._archive.open(name) as member:
            data = member.read(
                size + 1
            )  # without a number of bytes it unpacks everything, even if the stated size is false
        self._left -= len(data)
        return data

    def _check(self, size: int) -> None:
        if size > self._left:
            size += _LARGEST - self._left
            raise InputError(f"{self._path}: its text unpacks to {size:,} bytes; at most {_LARGEST:,} are read")
