"""The slots of the cache: what each holds, under which key, in which bytes and for how long.

The bytes are those of design §9. A process of another version may read them: a change of the
layout changes `_MAGIC`, so that either version finds the other's values damaged, not wrong.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

from pydantic import TypeAdapter

from imagesearch.domain.images import Image, PackedPool
from imagesearch.domain.pools import Pool
from imagesearch.ports import Slot, TextEmbedding

_MAGIC = b"isc1"  # imagesearch cache, version 1: another version's values are ignored
_SEAL = struct.Struct("<4sI")  # magic, CRC-32 of what follows
_POOL_HEAD = struct.Struct("<III")  # bytes of metadata, n, embedding_dim
_IMAGES = TypeAdapter(tuple[Image, ...])
_STATE = TypeAdapter(Pool)

PoolGeneration = tuple[str, int, str]  # pool_id, generation, model_revision
Text = tuple[str, str]  # model_revision, text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sealed(content: bytes) -> bytes:
    return _SEAL.pack(_MAGIC, zlib.crc32(content)) + content


def _unsealed(value: bytes) -> memoryview:
    """Return what `_sealed` was given, or raise ValueError."""
    if len(value) < _SEAL.size:
        raise ValueError(f"{len(value)} bytes are too few")
    magic, checksum = _SEAL.unpack_from(value)
    if magic != _MAGIC:
        raise ValueError(f"it begins with {magic!r}, not with {_MAGIC!r}")
    content = memoryview(value)[_SEAL.size :]
    if zlib.crc32(content) != checksum:
        raise ValueError("its checksum is wrong")
    return content


def _pack_pool(packed: PackedPool) -> bytes:
    """Head, the images as JSON in zlib, then the (n, d) matrix in float16 little-endian."""
    # Images of a keyword share their words. Uncompressed, 200 of them outgrow 256 KiB, and Redis
    # takes 320 for them: its allocator has no size in between.
    metadata = zlib.compress(_IMAGES.dump_json(packed.images))
    matrix = packed.embeddings.astype("<f2")
    head = _POOL_HEAD.pack(len(metadata), *matrix.shape)
    return _sealed(head + metadata + matrix.tobytes())


def _unpack_pool(value: bytes) -> PackedPool:
    import numpy as np  # a function never unpacks, and need not wait for it

    content = _unsealed(value)
    if len(content) < _POOL_HEAD.size:
        raise ValueError("it has no head")
    metadata_bytes, n, embedding_dim = _POOL_HEAD.unpack_from(content)
    start = _POOL_HEAD.size + metadata_bytes
    if len(content) != start + 2 * n * embedding_dim:
        raise ValueError(f"{len(content)} bytes do not hold {n} rows of {embedding_dim}")
    images = _IMAGES.validate_json(_decompressed(content[_POOL_HEAD.size : start]))
    if len(images) != n:
        raise ValueError(f"it has {len(images)} images and {n} embeddings")
    matrix = np.frombuffer(content[start:], "<f2").reshape(n, embedding_dim)
    return PackedPool(images, matrix.astype(np.float32))


def _decompressed(metadata: memoryview) -> bytes:
    try:
        return zlib.decompress(metadata)
    except zlib.error as error:
        raise ValueError(f"its metadata is not zlib: {error}") from error


def _pack_text(embedding: TextEmbedding) -> bytes:
    """One byte, 1 when the query was cut, then the vector in float32 little-endian."""
    return _sealed(bytes([embedding.truncated]) + embedding.vector.astype("<f4").tobytes())


def _unpack_text(value: bytes) -> TextEmbedding:
    import numpy as np

    content = _unsealed(value)
    if len(content) % 4 != 1:
        raise ValueError(f"{len(content)} bytes are no flag and vector")
    vector = np.frombuffer(content[1:], "<f4").astype(np.float32)
    return TextEmbedding(vector, truncated=bool(content[0]))


def _pool_parts(key: PoolGeneration) -> tuple[str, ...]:
    pool_id, generation, model_revision = key
    return pool_id, str(generation), model_revision


def _text_parts(key: Text) -> tuple[str, ...]:
    model_revision, text = key
    return model_revision, _hash(text)


def _id_alone(key: str) -> tuple[str, ...]:
    return (key,)


def _as_is(data: bytes) -> bytes:
    return data


POOL: Slot[PoolGeneration, PackedPool] = Slot(
    "pool", _pool_parts, _pack_pool, _unpack_pool, ttl_seconds=24 * 3600.0
)
"""A ready generation's packed pool; its embeddings go through float16."""

STATE: Slot[str, Pool] = Slot(
    "state", _id_alone, _STATE.dump_json, _STATE.validate_json, ttl_seconds=300.0
)
"""By pool_id the pool's last noted state, for the searches that wait for it."""

BYTES: Slot[str, bytes] = Slot("bytes", _id_alone, _as_is, _as_is, ttl_seconds=600.0)
"""By image_id an image's bytes, for the embedder."""

TEXT: Slot[Text, TextEmbedding] = Slot(
    "text", _text_parts, _pack_text, _unpack_text, ttl_seconds=24 * 3600.0
)
"""The embedding of a query."""
