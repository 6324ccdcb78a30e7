"""The int8 copies of embeddings on disk, mapped: the first search of a process reads them there.

A file is a head and blocks of equal size, each a head and columns. What the columns mean is in
`vector_index.py`. Rows are written first, then the head of their block, then the head of all: a
process that is killed amid an append leaves what was there before. Of the rest tell checksums, and
the number of all rows.

    head    magic, embedding_dim, rows a block, rows of all, last_id, sample, longest, centre,
            spreads, checksum
    block   rows that are there and a checksum of each column of them; ids, scales, errors, codes
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagesearch.adapters.vector_index import BLOCK_ROWS, NOTHING, Columns, Head

_MAGIC = b"isint8 3"  # the digit counts the layouts
_HEAD = struct.Struct("<8sIIqqqd")
_BLOCK_HEAD = struct.Struct("<q4I")
_CRC = struct.Struct("<I")
_PAGE_BYTES = 65_536  # what a mapping begins at a multiple of, on every machine
_TYPES: tuple[np.dtype[Any], ...] = (
    np.dtype("<i8"),
    np.dtype("<f4"),
    np.dtype("<f4"),
    np.dtype("i1"),
)


class DamagedFile(Exception):
    """What is in the file cannot be relied on; the message says why."""


def path_of(catalog: Path, model_revision: str) -> Path:
    """Return where the copy of a model's embeddings lies, beside the *catalog* file."""
    digest = sha256(model_revision.encode()).hexdigest()[:16]
    return catalog.with_name(f"{catalog.name}.{digest}.int8")


def forget_others(catalog: Path, model_revisions: list[str]) -> None:
    """Remove the copies of models that are none of *model_revisions*, as far as that goes."""
    current = {path_of(catalog, revision) for revision in model_revisions}
    for path in catalog.parent.glob(f"{catalog.name}.*.int8"):
        if path not in current:
            path.unlink(missing_ok=True)


class FileBlocks:
    """
    The port `Blocks` over the file *path*, which this process alone has open.

    Attributes:
        rows: of a block, at most.
        head: of the rows that are there.

    Raises:
        DamagedFile: it is emptied, and can be opened again.
        BlockingIOError: another process has it.
        OSError: it can be neither read nor made.
    """

    rows = BLOCK_ROWS

    def __init__(self, path: Path) -> None:
        self.head = NOTHING
        self._dim = 0
        self._maps: list[mmap.mmap] = []
        self._sizes: list[int] = []
        self._sums: list[list[int]] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_size:
                self._read()
        except BaseException as error:
            if isinstance(error, DamagedFile):
                self.clear()
            os.close(self._file)
            raise

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return len(self._maps)

    def part(self, number: int) -> Columns:
        """Return the rows of a block."""
        return self._columns(number, self._sizes[number])

    def append(self, columns: Columns) -> None:
        """Add rows to the last block, or to a new one."""
        if not self._maps or self._sizes[-1] == self.rows:
            self._dim = columns.codes.shape[1]
            os.ftruncate(self._file, self._start(len(self._maps) + 1))
            self._map(len(self._maps))
            self._sizes.append(0)
            self._sums.append([0] * len(_TYPES))
        self._put(len(self._maps) - 1, self._sizes[-1], columns)

    def replace(self, number: int, columns: Columns) -> None:
        """Put *columns* in the place of a block's."""
        self._sizes[number], self._sums[number] = 0, [0] * len(_TYPES)
        self._put(number, 0, columns)

    def keep_head(self, head: Head) -> None:
        """Note that all rows up to `head.last_id` are there, and no other."""
        number = sum(self._sizes)
        fields = (self._dim, self.rows, number, head.last_id, head.sample, head.longest)
        vectors = np.concatenate([head.centre, head.spreads]).astype("<f4")
        packed = _HEAD.pack(_MAGIC, *fields) + vectors.tobytes()
        self._write(packed + _CRC.pack(zlib.crc32(packed)), 0)
        self.head = head

    def clear(self) -> None:
        """Forget all blocks, and the head."""
        self._maps.clear()
        self._sizes.clear()
        self._sums.clear()
        self.head = NOTHING
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._maps.clear()  # they end with the last array over them
        os.close(self._file)

    def _read(self) -> None:
        """Take over what is there, or raise DamagedFile."""
        fixed = os.pread(self._file, _HEAD.size, 0)
        if len(fixed) < _HEAD.size or not fixed.startswith(_MAGIC):
            raise DamagedFile("it is no copy of embeddings, or one of another version")
        _, self._dim, rows, number_of_rows, last_id, sample, longest = _HEAD.unpack(fixed)
        packed = os.pread(self._file, self._head_bytes, 0)
        if zlib.crc32(packed[: -_CRC.size]) != _CRC.unpack(packed[-_CRC.size :])[0]:
            raise DamagedFile("its head is not what was written")
        if rows != self.rows:
            raise DamagedFile(f"it has blocks of {rows} rows")
        vectors = np.frombuffer(packed[_HEAD.size : -_CRC.size], "<f4").astype(np.float32)
        # A copy without rows ends with its head, before the first block would begin.
        behind = max(0, os.fstat(self._file).st_size - self._start(0))
        blocks, rest = divmod(behind, self._block_bytes)
        if rest:
            raise DamagedFile("its size is not that of whole blocks")
        for number in range(blocks):
            self._map(number)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            checked = list(threads.map(self._checked, range(blocks)))
        self._sizes = [size for size, _ in checked]
        self._sums = [sums for _, sums in checked]
        self.head = Head(last_id, sample, longest, *np.split(vectors, 2))
        self._cut(last_id)
        if sum(self._sizes) != number_of_rows:
            raise DamagedFile(f"it has {sum(self._sizes)} rows of {number_of_rows}")

    def _checked(self, number: int) -> tuple[int, list[int]]:
        """Return how many rows a block has, and its checksums, or raise DamagedFile."""
        size, *sums = _BLOCK_HEAD.unpack_from(self._maps[number])
        if not 0 <= size <= self.rows:
            raise DamagedFile(f"block {number} has {size} rows")
        columns = self._columns(number, size)
        if sums != _sums_of(columns, [0] * len(_TYPES)):
            raise DamagedFile(f"block {number} is not what was written")
        return size, sums

    def _cut(self, last_id: int) -> None:
        """Take off the rows after *last_id*, of an append that did not come to its end."""
        for number in range(len(self)):
            columns = self.part(number)
            size = int(np.searchsorted(columns.row_ids, last_id, side="right"))
            if size < len(columns):
                self._sizes[number] = size
                self._sums[number] = _sums_of(columns.part(slice(size)), [0] * len(_TYPES))
        while self._sizes and not self._sizes[-1] and len(self._sizes) > 1:
            self._sizes.pop()
            self._sums.pop()
            self._maps.pop()

    def _put(self, number: int, start: int, columns: Columns) -> None:
        for offset, width, values in zip(
            self._offsets(), self._widths(), _bytes_of(columns), strict=True
        ):
            self._write(values, self._start(number) + offset + start * width)
        size = start + len(columns)
        sums = _sums_of(columns, self._sums[number])
        self._write(_BLOCK_HEAD.pack(size, *sums), self._start(number))
        self._sizes[number], self._sums[number] = size, sums

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written

    def _map(self, number: int) -> None:
        size, start = self._block_bytes, self._start(number)
        self._maps.append(mmap.mmap(self._file, size, prot=mmap.PROT_READ, offset=start))

    def _columns(self, number: int, size: int) -> Columns:
        block = self._maps[number]
        ids, scales, errors, codes = (
            np.frombuffer(block, kind, size * width // kind.itemsize, offset)
            for kind, width, offset in zip(_TYPES, self._widths(), self._offsets(), strict=True)
        )
        return Columns(ids, scales, errors, codes.reshape(size, self._dim))

    def _widths(self) -> tuple[int, ...]:
        """Return the bytes of a row in each column."""
        return (8, 4, 4, self._dim)

    def _offsets(self) -> list[int]:
        """Return where the columns begin within a block."""
        offsets = [_PAGE_BYTES]
        for width in self._widths()[:-1]:
            offsets.append(offsets[-1] + width * self.rows)
        return offsets

    @property
    def _block_bytes(self) -> int:
        return _whole_pages(self._offsets()[-1] + self._dim * self.rows)

    @property
    def _head_bytes(self) -> int:
        return _HEAD.size + 2 * 4 * self._dim + _CRC.size

    def _start(self, number: int) -> int:
        return _whole_pages(self._head_bytes) + number * self._block_bytes


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE_BYTES) * _PAGE_BYTES


def _arrays(columns: Columns) -> tuple[NDArray[Any], ...]:
    return columns.row_ids, columns.scales, columns.errors, columns.codes


def _bytes_of(columns: Columns) -> list[bytes]:
    arrays = _arrays(columns)
    return [array.astype(kind).tobytes() for array, kind in zip(arrays, _TYPES, strict=True)]


def _sums_of(columns: Columns, sums: list[int]) -> list[int]:
    """Return the checksums of columns that go on after what has *sums*."""
    arrays = _arrays(columns)
    return [
        zlib.crc32(np.ascontiguousarray(array).data, before) if array.size else before
        for array, before in zip(arrays, sums, strict=True)
    ]
