"""Google Takeout: whose sidecar is whose, and what it says."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagesearch.domain.picture_facts import PictureFacts
from imagesearch.folders.takeout import (
    Sidecar,
    album_title,
    is_album_file,
    is_year_folder,
    path_in_takeout,
    read_sidecar,
    sidecars,
    united_sidecars,
)
from tests.takeout import SPELLINGS, album_json, sidecar_json, write_takeout

ALL = [each for some in SPELLINGS.values() for each in some]
NAMES = {name for each in ALL for name in (each.media, each.sidecar) if name}
EXPECTED = {each.media: each.title for each in ALL if each.title}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_each_media_file_gets_its_own_sidecar(kind: str) -> None:
    some = SPELLINGS[kind]
    names = [name for each in some for name in (each.media, each.sidecar) if name]
    assert sidecars(names) == {each.media: each.title for each in some if each.title}


def test_files_of_both_styles_in_one_folder_do_not_disturb_each_other() -> None:
    names = [*NAMES, "metadata.json", "print-subscriptions.json"]
    assert sidecars(names) == EXPECTED
    assert sidecars(sorted(names, reverse=True)) == EXPECTED


def test_names_that_an_archiver_decomposed_are_alike() -> None:
    original, edited = "Été.jpg", "Été-modifié.jpg"
    given = [unicodedata.normalize("NFD", name) for name in (original, edited)]
    assert sidecars([*given, "Été.jpg.json"]) == dict.fromkeys(given, "Été.jpg.json")


def test_of_two_sidecars_the_exact_one_counts() -> None:
    names = ["Scan(1).jpg", "Scan.jpg", "Scan(1).jpg.json", "Scan.jpg(1).json", "Scan.jpg.json"]
    assert sidecars(names) == {"Scan(1).jpg": "Scan(1).jpg.json", "Scan.jpg": "Scan.jpg.json"}


def test_a_picture_does_not_get_the_sidecar_of_one_in_another_format() -> None:
    assert sidecars(["IMG_1.jpg", "IMG_1.png", "IMG_1.jpg.json"]) == {"IMG_1.jpg": "IMG_1.jpg.json"}
    assert sidecars(["IMG_1.jpg", "IMG_1.HEIC.json"]) == {"IMG_1.jpg": "IMG_1.HEIC.json"}


def test_an_albums_file_is_no_sidecar() -> None:
    assert sidecars(["metadata.jpg", "metadata.json"]) == {}


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text(alphabet="ab-(1).jpsonéd", max_size=12).map(lambda name: name + ".jpg")))
def test_no_name_makes_it_raise(names: set[str]) -> None:
    given = {*names, *(f"{name}.json" for name in names)}
    found = sidecars(given)
    assert set(found) <= given
    assert all(found[name] == f"{name}.json" for name in names)


def test_a_name_of_hyphens_alone_ends() -> None:
    assert sidecars(["-" * 47 + ".jpg", "-edited" * 30 + ".jpg"]) == {}


def test_a_thousand_files_are_matched_at_once() -> None:
    names = [f"IMG_{number}.jpg" for number in range(1_000)]
    assert (
        len(sidecars([*names, *(f"{name}.supplemental-metadata.json" for name in names)])) == 1_000
    )


def test_the_whole_takeout_is_matched_folder_by_folder(tmp_path: Path) -> None:
    titles = write_takeout(tmp_path)
    read: dict[str, str] = dict.fromkeys(titles, "")
    for folder in {(tmp_path / path).parent for path in titles}:
        for media, name in sidecars(path.name for path in folder.iterdir()).items():
            sidecar = read_sidecar((folder / name).read_bytes())
            assert sidecar is not None
            assert sidecar.is_trashed == (folder.name == "Trash")
            read[(folder / media).relative_to(tmp_path).as_posix()] = sidecar.facts.title
    assert read == titles
    assert len(titles) > 70


def test_a_folder_in_several_archives_is_matched_as_one() -> None:
    first = ["IMG_1.jpg", "IMG_1-edited.jpg", "IMG_2.heic.json", "metadata.json"]
    second = ["IMG_1.jpg.json", "IMG_2.heic", "IMG_2.jpg", "metadata.json"]
    third = ["IMG_2.jpg.json"]
    of_first, of_second, of_third = united_sidecars([first, second, third])
    assert of_first == dict.fromkeys(["IMG_1.jpg", "IMG_1-edited.jpg"], (1, "IMG_1.jpg.json"))
    assert of_second == {"IMG_2.heic": (0, "IMG_2.heic.json"), "IMG_2.jpg": (2, "IMG_2.jpg.json")}
    assert of_third == {}


def test_a_picture_gets_no_sidecar_of_one_of_its_name_in_another_archive() -> None:
    ann = ["IMG_1.jpg", "IMG_2.jpg", "IMG_2.jpg.json", "IMG_3.jpg"]
    bob = ["IMG_1.jpg", "IMG_1.jpg.json", "IMG_2.jpg", "IMG_2.jpg.json", "IMG_3.jpg.json"]
    of_ann, of_bob = united_sidecars([ann, bob])
    assert of_ann == {"IMG_2.jpg": (0, "IMG_2.jpg.json"), "IMG_3.jpg": (1, "IMG_3.jpg.json")}
    assert of_bob == {"IMG_1.jpg": (1, "IMG_1.jpg.json"), "IMG_2.jpg": (1, "IMG_2.jpg.json")}


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("t1/Takeout/Google Photos/Trip", "Google Photos/Trip"),
        ("Takeout 2/Google Photos/Trip", "Google Photos/Trip"),
        ("takeout-20240101T000000Z-001/Takeout/Google Photos", "Google Photos"),
        ("t1/Takeout", ""),
        ("Pictures/Trip", ""),
    ],
)
def test_parts_of_a_folder_share_their_path_below_takeout(folder: str, path: str) -> None:
    assert path_in_takeout(folder) == path


# --- what a sidecar says -------------------------------------------------------------------------


def test_a_sidecar_says_when_where_who_and_what() -> None:
    data = sidecar_json(
        "IMG_1.jpg",
        description="At the\nbeach",
        photoTakenTime={"timestamp": "1558569600"},
        geoDataExif={"latitude": 52.5, "longitude": 13.4},
        people=[{"name": "Ann"}, {"name": "Smith, Bob"}, {}, "x", {"name": 7}],
        favorited=True,
    )
    facts = PictureFacts(
        year=2019,
        month=5,
        rating=5,
        title="At the beach",
        tags=("Ann", "Smith Bob"),
        place=(52.5, 13.4),
    )
    assert read_sidecar(data) == Sidecar(facts)


def test_the_place_that_its_owner_set_goes_before_the_cameras() -> None:
    places = {
        "geoData": {"latitude": 1.0, "longitude": 2.0},
        "geoDataExif": {"latitude": 3.0, "longitude": 4.0},
    }
    sidecar = read_sidecar(sidecar_json("x", **places))
    assert sidecar is not None
    assert sidecar.facts.place == (1.0, 2.0)


@pytest.mark.parametrize(
    ("timestamp", "date"),
    [
        ("1558569600", (2019, 5)),
        (1558569600, (2019, 5)),
        ("-631152000", (1950, 1)),
        ("0", (0, 0)),
        ("", (0, 0)),
        (None, (0, 0)),
        ("999999999999", (0, 0)),
        ("-99999999999", (0, 0)),
        ("1e9", (0, 0)),
    ],
)
def test_a_time_is_a_text_of_seconds(timestamp: object, date: tuple[int, int]) -> None:
    sidecar = read_sidecar(sidecar_json("x", photoTakenTime={"timestamp": timestamp}))
    assert sidecar is not None
    assert (sidecar.facts.year, sidecar.facts.month) == date


def test_a_picture_in_the_trash_says_so() -> None:
    sidecar = read_sidecar(sidecar_json("x", trashed=True))
    assert sidecar is not None
    assert sidecar.is_trashed


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5_000, album_json("Summer")),
        sidecar_json("x" * 1_000_001),
    ],
)
def test_what_is_no_sidecar_is_none(data: bytes) -> None:
    assert read_sidecar(data) is None
    assert album_title(data) in ("", "Summer")


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["timestamp", "latitude", "name", "title"]), inner)
        ),
        max_leaves=8,
    )
)
def test_no_value_makes_it_raise(value: object) -> None:
    names = ("photoTakenTime", "geoData", "people", "description", "favorited", "trashed")
    assert read_sidecar(json.dumps(dict.fromkeys(names, value)).encode()) is not None
    album_title(json.dumps({"title": value, "date": value, "albumData": value}).encode())


# --- albums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_old", [False, True])
def test_an_album_has_a_title_in_old_and_new_form(is_old: bool) -> None:
    assert album_title(album_json("Rome, 2019", is_old=is_old)) == "Rome 2019"
    assert album_title(album_json("Photos from 2019", is_old=is_old)) == ""
    assert album_title(album_json("x" * 80, is_old=is_old)) == "x" * 59 + "…"


def test_a_sidecar_has_no_albums_title() -> None:
    assert album_title(sidecar_json("IMG_1.jpg")) == ""
    assert album_title(b'{"title": "A page"}') == ""


@pytest.mark.parametrize(
    "name",
    [
        *("metadata.json", "Metadaten.json", "metadati.json", "métadonnées.json"),
        *("метаданные.json", "metadata(1).json", unicodedata.normalize("NFD", "métadonnées.json")),
    ],
)
def test_an_albums_file_is_known_in_each_language(name: str) -> None:
    assert is_album_file(name)


@pytest.mark.parametrize("name", ["metadata.jpg", "IMG_1.jpg.json", "metadata", "metadata2.json"])
def test_other_files_are_no_albums(name: str) -> None:
    assert not is_album_file(name)


@pytest.mark.parametrize(
    ("name", "is_of_a_year"),
    [
        ("Photos from 2023", True),
        ("Fotos von 2021", True),
        ("Photos de 2019", True),
        ("Fotos del 2018", True),
        ("2023年の写真", True),
        ("2023 年の写真", True),
        ("Foton från 2019", True),
        ("Fotos de 2019", True),
        ("Fotografías de 2019", True),
        ("Foto da 2019", True),
        ("Foto del 2019", True),
        ("Kuvat vuodelta 2019", True),
        ("2019 yılından fotoğraflar", True),
        ("Fotók innen: 2019", True),
        ("2019-es fotók", True),
        ("Foton från Rom", False),
        ("2019-05-23", True),
        ("2019-05-23 #2", True),
        ("Spring 2016", False),
        ("Photos from Rome", False),
        ("2023", False),
    ],
)
def test_a_years_folder_is_no_album(name: str, is_of_a_year: bool) -> None:
    assert is_year_folder(name) == is_of_a_year
