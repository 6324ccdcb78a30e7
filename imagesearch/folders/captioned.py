"""The port `CollectionFolders` over folders of pictures with captions: Flickr's, COCO's, own ones.

Which forms captions have is in `evaluation/forms.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from imagesearch.domain.collections import ListedFile, Unreadable
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.foreign_text import one_line
from imagesearch.domain.picture_facts import MAX_TITLE_CHARACTERS, PictureFacts, joined
from imagesearch.evaluation.captions import NO_CAPTION, NO_PICTURE, Pictures
from imagesearch.evaluation.forms import captions_files, gathered_from
from imagesearch.folders.folder import Folders


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
    """Take in what captions say of pictures, by path; yield what of them does not fit."""
    pictures = Pictures(root)
    for file in captions_files(root):
        name = file.relative_to(root).as_posix()
        source = "" if file == root else root.name  # a .txt beside a picture is its owner's
        try:
            gathered = gathered_from(file, pictures)
        except InvalidRequest as error:
            yield Unreadable(name, str(error))
            continue
        # A picture needs no caption, and a .txt beside none is something else.
        usual = {NO_CAPTION, NO_PICTURE} if file == root else {NO_CAPTION}
        for misfit in gathered.misfits:
            if misfit.what not in usual:
                yield Unreadable(name, str(misfit))
        for picture in gathered.captioned():
            if picture.file is None:
                continue
            path = picture.file.relative_to(root).as_posix()
            title = one_line(picture.captions[0].text, MAX_TITLE_CHARACTERS)
            of_file = PictureFacts(title=title, source=source, captions=picture.captions)
            facts[path] = joined(facts.get(path, PictureFacts()), of_file)
