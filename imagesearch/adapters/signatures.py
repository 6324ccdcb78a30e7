"""How the files of images begin: what tells an image from something else without decoding it."""

from __future__ import annotations

HEAD_BYTES = 12  # all that `is_image` looks at


def is_image(data: bytes) -> bool:
    """
    Return whether *data* begins as a JPEG, PNG or WebP file.

    Source: ITU-T T.81 B.1.1.3, PNG specification 5.2, RFC 9649 section 2.4.
    """
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )
