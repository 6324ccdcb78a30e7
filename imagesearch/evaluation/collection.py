"""The captioned set that a collection is: what was added is what is measured."""

from __future__ import annotations

from collections.abc import Collection as AnyOf
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from imagesearch.domain.collections import image_of
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Embedding
from imagesearch.evaluation.captions import (
    FIELD,
    NO_CAPTION,
    CaptionedSet,
    Gathered,
    Pictures,
)
from imagesearch.ports import Collections, ImageStore, Library

FORM = "a collection"
_AT_ONCE = 200


def captioned_collection(
    collections: Collections,
    library: Library,
    pictures: ImageStore,
    name: str,
    withdrawn: AnyOf[str] = (),
) -> CaptionedSet:
    """
    Return the images of the collection *name* with the captions of all its files that are it.

    An image is called by the path of the first of its files there.

    Args:
        pictures: gives those that have no embedding of the model.
        withdrawn: the images that were taken down, which nobody measures or is shown.

    Raises:
        InvalidRequest: none has a caption.
    """
    gathered = Gathered(Pictures(Path()))
    names: dict[str, str] = {}  # of images, by image_id
    known = {file.image_id for file in collections.known_files(name).values() if file.is_sound}
    ids = sorted(known - {"", *withdrawn})
    for first in range(0, len(ids), _AT_ONCE):
        for image_id, files in collections.files_of(ids[first : first + _AT_ONCE]).items():
            own = [file for of, file in files if of == name]
            object_name = image_of(image_id, files).object_name
            captions = [caption for file in own for caption in file.facts.captions]
            if not captions:
                gathered.misfits.add(NO_CAPTION, own[0].path)
            names[image_id] = own[0].path
            for caption in captions:
                gathered.caption(own[0].path, caption, partial(pictures.get, object_name))
    captioned = gathered.captioned()
    if not captioned:
        why = "; ".join(map(str, gathered.misfits)) or "it has no picture"
        raise InvalidRequest(f"no picture of {name!r} has a caption: {why}", field=FIELD)

    def embedded(model_revision: str) -> Mapping[str, Embedding]:
        embeddings: dict[str, Embedding] = {}
        for first in range(0, len(ids), _AT_ONCE):
            facts, rows = library.vectors(ids[first : first + _AT_ONCE], model_revision)
            embeddings |= {
                names[image_id]: row
                for image_id, row in zip(facts, rows, strict=True)
                if image_id in names
            }
        return embeddings

    return CaptionedSet(FORM, None, captioned, gathered.misfits, embedded)
