"""Writes a Google Takeout of small pictures, with every way in which its names are spelled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.pictures import jpeg

YEAR = "Photos from 2019"
LONG = "PXL_20230809_203449253.LONG_EXPOSURE-02.ORIGIN"  # 46 characters
EMOJI = "😀😃😄😁😆😅😂🤣🥲☺️😊😇🙂🙃😉😌😍🥰😘😗😙😚😋"  # 46 UTF-16 units
NEW = ".supplemental-metadata"


@dataclass(frozen=True)
class Spelling:
    """
    A media file, its sidecar's name, and the title by which the sidecar is known to be its own.

    *sidecar* is "" where it is another media file's, and *title* where it has none.
    """

    media: str
    sidecar: str
    title: str


def _own(media: str, sidecar: str) -> Spelling:
    return Spelling(media, sidecar, sidecar)


def _shared(media: str, sidecar: str) -> Spelling:
    return Spelling(media, "", sidecar)


SPELLINGS: dict[str, tuple[Spelling, ...]] = {
    "old": (
        _own("PXL_20211013_220651983.jpg", "PXL_20211013_220651983.jpg.json"),
        _own("DSC_0100.JPG", "DSC_0100.JPG.json"),
        _own("DSC_0101.JPG", "DSC_0101.JPG.json"),
        _own("DSC_0101(1).JPG", "DSC_0101.JPG(1).json"),
        _own("DSC_0101(2).JPG", "DSC_0101.JPG(2).json"),
        Spelling("DSC_0104(1).JPG", "", ""),
        _own("DSC_0104.JPG", "DSC_0104.JPG.json"),
        _own("20030616.jpg", "20030616.json"),  # it came without a suffix
    ),
    "new": (
        _own("IMG_0001.jpg", f"IMG_0001.jpg{NEW}.json"),
        _own("Scan35.jpg", f"Scan35.jpg{NEW}.json"),
        _own("Scan35(1).jpg", f"Scan35.jpg{NEW}(1).json"),
        _own("Scan36(1).jpg", f"Scan36(1).jpg{NEW}.json"),  # its owner called it so
        _own("Scan36(2).jpg", f"Scan36.jpg(2){NEW}.json"),
        _own(
            "PXL_20231118_035751175.MP.jpg", "PXL_20231118_035751175.MP.jpg.supplemental-met.json"
        ),
        _own(
            "PXL_20210102_221126856.MP~2.jpg", "PXL_20210102_221126856.MP~2.jpg.supplemental-m.json"
        ),
    ),
    # 46 characters before .json: what is cut is first the supplement, then the name.
    "cut": (
        _own("a" * 18 + ".jpg", "a" * 18 + ".jpg.supplemental-metadata.json"),
        _own("b" * 21 + ".jpg", "b" * 21 + ".jpg.supplemental-metadat.json"),
        _own("c" * 27 + ".jpg", "c" * 27 + ".jpg.supplemental-m.json"),
        _own("d" * 36 + ".jpg", "d" * 36 + ".jpg.suppl.json"),
        _own("d" * 36 + "(1).jpg", "d" * 36 + ".jpg.suppl(1).json"),
        _own("e" * 40 + ".jpg", "e" * 40 + ".jpg.s.json"),
        _own("f" * 41 + ".jpg", "f" * 41 + ".jpg..json"),
        _own("g" * 42 + ".jpg", "g" * 42 + ".jpg.json"),
        _own("h" * 43 + ".jpg", "h" * 43 + ".jp.json"),
        _own("i" * 44 + ".jpg", "i" * 44 + ".j.json"),
        _own("i" * 44 + "(1).jpg", "i" * 44 + ".j(1).json"),
        _own("j" * 45 + ".jpg", "j" * 45 + "..json"),
        _own("k" * 46 + ".jpg", "k" * 46 + ".json"),
        _own("l" * 46 + ".jpeg", "l" * 46 + ".json"),  # 51 with its suffix
        _own(f"{LONG}A.jpg", f"{LONG}.json"),
        _own(f"{EMOJI}😛.jpg", f"{EMOJI}.json"),
        _own("m" * 46 + "n(494).jpg", "m" * 46 + "(494).json"),
        Spelling("m" * 46 + "n(185).jpg", "", ""),
        # Two that differ in their last character: whose the one sidecar is cannot be known.
        Spelling("o" * 46 + "p.jpg", "o" * 46 + ".json", ""),
        Spelling("o" * 46 + "q.jpg", "", ""),
    ),
    "edited": (
        _own("IMG_1.jpg", "IMG_1.jpg.json"),
        _shared("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        _own("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        _shared("IMG_1-edited(1).jpg", "IMG_1.jpg(1).json"),
        _own("IMG_2.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-bearbeitet.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-modifié.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-modificato.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-editado.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-ha editado.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-edytowane.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-bewerkt.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-編集済み.jpg", f"IMG_2.jpg{NEW}.json"),
        _shared("IMG_2-编辑.jpg", f"IMG_2.jpg{NEW}.json"),
        _own("IMG_3.jpg", f"IMG_3.jpg{NEW}.json"),
        _own("IMG_3-edited.jpg", f"IMG_3-edited.jpg{NEW}.json"),  # it has one of its own
        _own("IMG_4.jpg", "IMG_4.jpg.json"),
        *(
            _shared(f"IMG_4-{kind}.jpg", "IMG_4.jpg.json")
            for kind in ("EFFECTS", "SMILE", "MIX", "COLLAGE", "ANIMATION", "MOTION")
        ),
        # Cut at 47 characters.
        _own("r" * 43 + ".jpg", "r" * 43 + ".jp.json"),
        _shared("r" * 43 + "-edi.jpg", "r" * 43 + ".jp.json"),
        _own("s" * 46 + ".jpg", "s" * 46 + ".json"),
        _shared("s" * 46 + "-.jpg", "s" * 46 + ".json"),
    ),
    "live": (
        _own("IMG_5.HEIC", "IMG_5.HEIC.json"),
        _shared("IMG_5.MP4", "IMG_5.HEIC.json"),
        _own("IMG_6.HEIC", f"IMG_6.HEIC{NEW}.json"),
        _shared("IMG_6.MOV", f"IMG_6.HEIC{NEW}.json"),
        _own("IMG_6(1).HEIC", f"IMG_6.HEIC{NEW}(1).json"),
        _shared("IMG_6(1).MOV", f"IMG_6.HEIC{NEW}(1).json"),
        _own("PXL_7.MP.jpg", f"PXL_7.MP.jpg{NEW}.json"),
        _shared("PXL_7.MP", f"PXL_7.MP.jpg{NEW}.json"),
        _own("t" * 43 + ".HEIC", "t" * 43 + ".HE.json"),
        _shared("t" * 43 + ".MP4", "t" * 43 + ".HE.json"),
    ),
}
NOT_OF_A_PICTURE = (
    *(
        "print-subscriptions.json",
        "shared_album_comments.json",
        "user-generated-memory-titles.json",
    ),
)


def sidecar_json(title: str, **fields: Any) -> bytes:
    """Return what Google writes beside a picture, with *fields* changed or added."""
    nowhere = {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0}
    said = {
        "title": title,
        "description": "",
        "imageViews": "3",
        "creationTime": {"timestamp": "1588549547", "formatted": "3 mai 2020, 23:45:47 UTC"},
        "photoTakenTime": {"timestamp": "1558569600", "formatted": "23 mai 2019, 00:00:00 UTC"},
        "geoData": nowhere,
        "geoDataExif": nowhere,
        "url": "https://photos.google.com/photo/1",
    }
    return json.dumps(said | fields, ensure_ascii=False, indent=2).encode()


def album_json(title: str, *, is_old: bool = False) -> bytes:
    """Return what Google writes of an album, in the form of today or in that of old."""
    album = {"title": title, "description": "", "access": "protected", "date": {"timestamp": "0"}}
    return json.dumps({"albumData": album} if is_old else album, ensure_ascii=False).encode()


def write_takeout(folder: Path) -> dict[str, str]:
    """
    Write `Takeout/Google Photos` into *folder*; return each media file's path, and its title.

    A path is relative to *folder*, with slashes. A title is what the sidecar that belongs to the
    file has as description and so says its name, or "" where none belongs to it. Each picture is
    different, but for those of the albums, which are copies. Suffixes of HEIC files hold JPEGs.
    """
    root = folder / "Takeout" / "Google Photos"
    titles: dict[str, str] = {}
    contents: dict[str, bytes] = {}
    for place, spelling in enumerate(each for some in SPELLINGS.values() for each in some):
        is_video = spelling.media.endswith((".MP4", ".MOV", ".MP"))
        contents[spelling.media] = b"\0\0\0\x18ftypmp42" if is_video else jpeg(place)
    year = root / YEAR
    year.mkdir(parents=True)
    _write(year, [each for some in SPELLINGS.values() for each in some], contents, titles, folder)
    for name in NOT_OF_A_PICTURE:
        (year / name).write_text("{}")
    albums = {"Summer": ("metadata.json", False), "Strand": ("Metadaten.json", True)}
    for number, (title, (name, is_old)) in enumerate(albums.items()):
        album = root / title
        album.mkdir()
        (album / name).write_bytes(album_json(title, is_old=is_old))
        _write(album, SPELLINGS[("old", "new")[number]][:4], contents, titles, folder)
    trash = root / "Trash"
    trash.mkdir()
    (trash / "gone.jpg").write_bytes(jpeg(1_000))
    (trash / "gone.jpg.json").write_bytes(sidecar_json("gone", description="gone", trashed=True))
    titles[(trash / "gone.jpg").relative_to(folder).as_posix()] = "gone"
    return titles


def _write(
    into: Path,
    spellings: list[Spelling] | tuple[Spelling, ...],
    contents: dict[str, bytes],
    titles: dict[str, str],
    folder: Path,
) -> None:
    for spelling in spellings:
        path = into / spelling.media
        path.write_bytes(contents[spelling.media])
        titles[path.relative_to(folder).as_posix()] = spelling.title
        if spelling.sidecar:
            said = sidecar_json(spelling.media, description=spelling.sidecar)
            (into / spelling.sidecar).write_bytes(said)
