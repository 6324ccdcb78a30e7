import io

from PIL import Image

SUFFIXES = frozenset("jpg jpeg png webp gif bmp tif".split())


def readable(data, draft_side=1024):
    return data


def upright_size(data):
    from imagesearch.domain.errors import RejectedImage

    try:
        return Image.open(io.BytesIO(data)).size
    except Exception as e:
        raise RejectedImage(str(e))


def preview(data, side):
    im = Image.open(io.BytesIO(data))
    im.draft("RGB", (side, side))
    im = im.convert("RGB")
    im.thumbnail((side, side))
    b = io.BytesIO()
    im.save(b, "JPEG", quality=85)
    return b.getvalue()
