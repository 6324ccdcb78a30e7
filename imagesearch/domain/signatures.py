"""How the files of images begin: what tells an image from something else without decoding it."""

from __future__ import annotations

HEAD_BYTES = 12  # all that `is_image` looks at
TAIL_BYTES = 4096  # where `is_whole` looks for the end; some cameras write a little after it


def is_image(data: bytes) -> bool:
    """
    Return whether *data* begins as a JPEG, PNG or WebP file.

    Source: ITU-T T.81 B.1.1.3, PNG specification 5.2, RFC 9649 section 2.4.
    """
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


def is_whole(head: bytes, tail: bytes, size: int) -> bool:
    """
    Return whether a file of *size* bytes begins as an image and has its end.

    Args:
        head: its first HEAD_BYTES.
        tail: its last TAIL_BYTES.

    Source: ITU-T T.81 B.1.1.3, PNG specification 11.2.5, RFC 9649 section 2.4.
    """
    if not is_image(head):
        return False
    if head.startswith(b"RIFF"):
        return size >= 8 + int.from_bytes(head[4:8], "little")
    return (b"\xff\xd9" if head.startswith(b"\xff\xd8") else b"IEND") in tail
