"""The port `CollectionFolders` over folders of pictures with captions: Flickr's, COCO's, own ones.

Which forms captions have is in `evaluation/forms.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from imagesearch.domain.collections import ListedFile, Unreadable
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.picture_facts import PictureFacts, joined
from imagesearch.evaluation.captions import (
    NO_CAPTION,
    NO_PICTURE,
    NO_SEARCH,
    Gathered,
    Pictures,
)
from imagesearch.evaluation.forms import captions_files, gathered_from
from imagesearch.folders.folder import Folders
from imagesearch.folders.tables import facts_of_row


class CaptionedFolders(Folders):
    """A folder whose pictures have what its captions files, if any, say; the first is the title."""

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """
        Yield the pictures, and what cannot be read.

        Captions that no picture has are counted, in a line for each file of them.
        """
        facts: dict[str, PictureFacts] = {}
        problems = [*_gathered(Path(root), facts)]
        for entry in super().listed(root):
            if isinstance(entry, ListedFile) and entry.path in facts:
                entry = replace(entry, facts=facts[entry.path])
            yield entry
        yield from problems


def _gathered(root: Path, facts: dict[str, PictureFacts]) -> Iterator[Unreadable]:
    """
    Take in what captions say of pictures, by path; yield what of them does not fit.

    A set's captions come as a whole, of pictures that were not downloaded, too: that is a note.
    Where they fit no picture at all it is a problem.
    """
    pictures = Pictures(root)
    lacking: list[tuple[str, str]] = []
    do_fit = False
    for file in captions_files(root):
        name = file.relative_to(root).as_posix()
        is_beside = file == root  # a .txt beside a picture is its owner's
        try:
            gathered = gathered_from(file, pictures)
        except InvalidRequest as error:
            yield Unreadable(name, str(error))
            continue
        for misfit in gathered.misfits:
            # A picture needs no caption, and a .txt beside none is something else.
            if misfit.what == NO_PICTURE and not is_beside:
                lacking.append((name, str(misfit)))
            elif misfit.what not in (NO_CAPTION, NO_PICTURE):
                yield Unreadable(name, str(misfit), is_note=misfit.what == NO_SEARCH)
        said = _facts_by_path(root, gathered, source="" if is_beside else root.name)
        do_fit = do_fit or (bool(said) and not is_beside)
        for path, of_file in said.items():
            facts[path] = joined(facts.get(path, PictureFacts()), of_file)
    for name, what in lacking:
        yield Unreadable(name, what, is_note=do_fit)


def _facts_by_path(root: Path, gathered: Gathered, source: str) -> dict[str, PictureFacts]:
    return {
        picture.file.relative_to(root).as_posix(): replace(
            facts_of_row(picture.row, picture.captions), source=source
        )
        for picture in gathered.captioned()
        if picture.file is not None
    }
