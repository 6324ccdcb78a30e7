"""Captioned sets in all the forms that they have, and what of them does not fit."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from imagesearch.cli.captioned import opened_set
from imagesearch.domain.errors import InvalidRequest, RejectedImage
from imagesearch.evaluation.captions import MAX_PICTURE_BYTES, CaptionedSet
from imagesearch.evaluation.forms import FORMS, captions_files, read_captioned
from imagesearch.settings import load_settings
from inference_service.images import decode
from tools.pictures import encoded, jpeg, picture


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def texts(captioned: CaptionedSet) -> dict[str, list[str]]:
    return {each.name: [caption.text for caption in each.captions] for each in captioned.pictures}


def misfits(captioned: CaptionedSet) -> list[str]:
    return [*map(str, captioned.misfits)]


def shard(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_captions_are_of_a_csv(tmp_path: Path) -> None:
    pictures(tmp_path, "b.jpg", "a.jpg")
    (tmp_path / "captions.csv").write_text(
        'image,caption,language\nb.jpg,"a bee, close up",en\na.jpg,an apple,en\n'
        "b.jpg,ein Flügel,de\nb.jpg,ein Flügel,de\n"
    )
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {"a.jpg": ["an apple"], "b.jpg": ["a bee, close up", "ein Flügel"]}
    assert [each.language for each in captioned.pictures[1].captions] == ["en", "de"]
    assert [each.read() for each in captioned.pictures] == [b"a.jpg", b"b.jpg"]
    assert misfits(captioned) == []
    assert captioned.split is None


def test_a_csv_without_quotes_keeps_its_commas(tmp_path: Path) -> None:
    pictures(tmp_path, "Images/a.jpg")
    (tmp_path / "captions.txt").write_text('image,caption\na.jpg,A "dog" , a cat ,and more .\n')
    assert texts(read_captioned(tmp_path)) == {"a.jpg": ['A "dog" , a cat ,and more .']}


def test_what_does_not_fit_a_csv_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "alone.png")
    gone = "".join(f"gone-{number}.jpg,x\n" for number in range(5))
    rest = f"a.jpg,{'x' * 501}\na.jpg,\n,x\na.jpg\na.jpg,an apple\n"
    (tmp_path / "captions.csv").write_text(f"image,caption\n{gone}{rest}")
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {"a.jpg": ["an apple"]}
    assert misfits(captioned) == [
        "captions whose picture is missing: 5 (gone-0.jpg, gone-1.jpg, gone-2.jpg, …)",
        "captions that no search takes (1 to 500 characters of Unicode): 1"
        f" ('{'x' * 40}' of a.jpg)",
        "entries that cannot be read: 3"
        " (line 8 of captions.csv, line 9 of captions.csv, line 10 of captions.csv)",
        "pictures without a caption: 1 (alone.png)",
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"file,words\na.jpg,x\n", "is no captioned set"),
        (
            b"image,caption\n",
            "has no captioned picture: pictures without a caption: 1 (a.jpg); what can",
        ),
        (b"image,caption\ngone.jpg,x\n", "captions whose picture is missing: 1 (gone.jpg)"),
        (b"", "is no captioned set"),
        (b"image,caption\na.jpg,\xff\n", "cannot be read: 'utf-8'"),
        (b'image,caption\na.jpg,"x\n', "entries that cannot be read: 1 (line 2 of captions.csv)"),
    ],
)
def test_a_csv_that_says_nothing_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    pictures(tmp_path, "a.jpg")
    (tmp_path / "captions.csv").write_bytes(data)
    with pytest.raises(InvalidRequest) as refusal:
        read_captioned(tmp_path)
    assert reason in str(refusal.value)
    assert "captions.csv" in str(refusal.value)


def test_captions_are_in_text_files_beside_the_pictures(tmp_path: Path) -> None:
    pictures(tmp_path, "b.JPG", "a.png", "c.de.jpg", "alone.webp")
    for name, text in {
        "a.txt": "\ufeffan apple\n\n  a fruit \n",
        "a.de.txt": "ein Apfel",
        "a.pt-BR.txt": "uma maçã",
        "b.txt": "a bee",
        "c.de.txt": "a sea",
        "notes.txt": "nothing",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    captioned = read_captioned(tmp_path)
    by_name = {
        each.name: {(c.text, c.language) for c in each.captions} for each in captioned.pictures
    }
    assert by_name == {
        "a.png": {("an apple", ""), ("a fruit", ""), ("ein Apfel", "de"), ("uma maçã", "pt-BR")},
        "b.JPG": {("a bee", "")},
        "c.de.jpg": {("a sea", "")},
    }
    assert misfits(captioned) == [
        "captions whose picture is missing: 1 (notes.txt)",
        "pictures without a caption: 1 (alone.webp)",
    ]


def test_text_files_in_folders_within_are_of_the_pictures_beside_them(tmp_path: Path) -> None:
    for folder in ("birds", "boats/old", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        pictures(tmp_path / folder, "1.png")
        (tmp_path / folder / "1.txt").write_text(f"{folder}\n")
    captioned = read_captioned(tmp_path)
    said = {each.name: [caption.text for caption in each.captions] for each in captioned.pictures}
    assert said == {"birds/1.png": ["birds"], "boats/old/1.png": ["boats/old"]}
    assert captions_files(tmp_path) == [tmp_path]


def test_a_line_may_name_its_language(tmp_path: Path) -> None:
    pictures(tmp_path, "duck.png")
    text = "A duck.\nde.utf8=Eine Ente.\nfr.utf8=\nsr@latin.utf8=Patka.\nutf8=no line of a language"
    (tmp_path / "duck.txt").write_text(text)
    [duck] = read_captioned(tmp_path).pictures
    assert [(caption.text, caption.language) for caption in duck.captions] == [
        ("A duck.", ""),
        ("Eine Ente.", "de"),
        ("Patka.", "sr@latin"),
        ("utf8=no line of a language", ""),
    ]


def test_flickr30k_s_captions_are_read_but_for_what_is_broken(tmp_path: Path) -> None:
    pictures(tmp_path, "1.jpg", "2.jpg")
    lines = (
        "1.jpg| 0| Two men| one hat .\n1.jpg| 1   A broken row .\n\n2.jpg| 0| \n2.jpg| 1|A dog\n"
    )
    (tmp_path / "results.csv").write_text(f"image_name| comment_number| comment\n{lines}")
    captioned = read_captioned(tmp_path / "results.csv")
    assert texts(captioned) == {"1.jpg": ["Two men| one hat ."], "2.jpg": ["A dog"]}
    assert misfits(captioned) == [
        "entries that cannot be read: 2 (line 3 of results.csv, line 5 of results.csv)"
    ]


def test_flickr8k_s_captions_are_read_with_the_list_of_a_split(tmp_path: Path) -> None:
    pictures(tmp_path, "Images/a.jpg", "Images/b.jpg")
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text("a.jpg#0\tA dog .\na.jpg#1\tA cat .\nb.jpg#0\tA bee .\nc.jpg#0\tx\nnonsense\n")
    whole = read_captioned(file, split="test")
    assert (whole.split, texts(whole)) == (
        None,
        {"a.jpg": ["A dog .", "A cat ."], "b.jpg": ["A bee ."]},
    )
    assert misfits(whole) == [
        "captions whose picture is missing: 1 (c.jpg)",
        "entries that cannot be read: 1 (line 5 of Flickr8k.token.txt)",
    ]
    (tmp_path / "Flickr_8k.testImages.txt").write_text("b.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("a.jpg\n")
    assert texts(read_captioned(tmp_path, split="test")) == {"b.jpg": ["A bee ."]}
    assert texts(read_captioned(tmp_path, split="val")) == {"a.jpg": ["A dog .", "A cat ."]}
    assert texts(read_captioned(tmp_path, split="all")) == texts(whole)


def karpathy(name: str, split: str, *sentences: str, **more: object) -> dict[str, Any]:
    raw = [{"raw": sentence, "tokens": sentence.split()} for sentence in sentences]
    return {"filename": name, "split": split, "sentences": raw, **more}


def test_karpathy_s_json_is_read_by_its_splits(tmp_path: Path) -> None:
    pictures(tmp_path, "val2014/1.jpg", "train2014/1.jpg", "2.jpg", "3.jpg")
    images = [
        karpathy("1.jpg", "test", "one", "ein", filepath="val2014"),
        karpathy("1.jpg", "train", "other", filepath="train2014"),
        karpathy("2.jpg", "restval", "two"),
        karpathy("3.jpg", "test"),
        karpathy("4.jpg", "test", "four"),
        {"filename": 5, "split": "test", "sentences": []},
        7,
    ]
    file = tmp_path / "dataset_x.json"
    file.write_text(json.dumps({"dataset": "x", "images": images}))
    test = read_captioned(tmp_path, split="test")
    assert (test.split, texts(test)) == ("test", {"val2014/1.jpg": ["one", "ein"]})
    assert misfits(test) == [
        "pictures without a caption: 1 (3.jpg)",
        "captions whose picture is missing: 1 (4.jpg)",
        "entries that cannot be read: 1 (images[5])",
    ]
    assert test.pictures[0].read() == b"val2014/1.jpg"
    train = read_captioned(file, split="train")
    assert texts(train) == {"2.jpg": ["two"], "train2014/1.jpg": ["other"]}
    assert len(read_captioned(file).pictures) == 3
    with pytest.raises(
        InvalidRequest, match=r"dataset_x\.json.*no pictures of the split 'val'.*'test'"
    ):
        read_captioned(file, split="val")


def test_coco_s_captions_are_read_with_their_pictures_elsewhere(tmp_path: Path) -> None:
    pictures(tmp_path, "val2017/01.jpg", "val2017/02.jpg")
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "captions_val2017.json"
    images = [{"id": number, "file_name": f"0{number}.jpg"} for number in (1, 2, 3)]
    annotations = [
        {"id": 1, "image_id": 1, "caption": "one\n"},
        {"id": 2, "image_id": 1, "caption": "uno", "language": "it"},
        {"id": 3, "image_id": 9, "caption": "nine"},
        {"id": 4, "image_id": 3, "caption": "three"},
        {"id": 5, "image_id": [], "caption": "x"},
        {"id": 6, "image_id": 1, "caption": None},
        {"id": 7, "image_id": 1, "caption": "half \ud800"},
    ]
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    captioned = read_captioned(file, tmp_path / "val2017", "test")
    assert texts(captioned) == {"01.jpg": ["one", "uno"]}
    assert [each.language for each in captioned.pictures[0].captions] == ["", "it"]
    assert misfits(captioned) == [
        "entries that cannot be read: 2 (annotations[4], annotations[5])",
        "captions that no search takes (1 to 500 characters of Unicode): 1"
        r" ('half \ud800' of 01.jpg)",
        "pictures without a caption: 1 (02.jpg)",
        "captions whose picture is missing: 2 (03.jpg, image_id 9)",
    ]


def test_tar_shards_are_read_by_what_precedes_the_first_dot(tmp_path: Path) -> None:
    first = {
        "0001.jpg": b"one",
        "0001.txt": b"a one\n",
        "0001.de.txt": b"eine Eins\nnoch eine",
        "0001.json": b'{"caption": "not taken"}',
        "0002.png": b"two",
        "0002.json": b'{"caption": "a two", "status": "success"}',
        "0003.json": b'{"caption": "failed", "status": "failed_to_download"}',
        "0004.jpg": b"four",
        "0005.jpg": b"five",
        "0005.json": b"{",
    }
    shard(tmp_path / "00000.tar", first)
    shard(tmp_path / "00001.tar", {"./x/0001.webp": b"another", "./x/0001.txt": b"another one"})
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {
        "00000/0001": ["a one", "eine Eins", "noch eine"],
        "00000/0002": ["a two"],
        "00001/x/0001": ["another one"],
    }
    assert [each.read() for each in captioned.pictures] == [b"one", b"two", b"another"]
    assert captioned.pictures[0].captions[1].language == "de"
    assert misfits(captioned) == [
        "captions whose picture is missing: 1 (00000/0003)",
        "pictures without a caption: 1 (00000/0004)",
        "entries that cannot be read: 1 (00000/0005)",
    ]
    assert texts(read_captioned(tmp_path / "00001.tar")) == {"00001/x/0001": ["another one"]}


@pytest.mark.parametrize("name", ["../secret.jpg", "{outside}/secret.jpg", "..\\secret.jpg"])
def test_captions_name_no_file_outside_their_folder(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, "set/a.jpg", "secret.jpg")
    name = name.format(outside=tmp_path)
    (tmp_path / "set" / "captions.csv").write_text(f"image,caption\na.jpg,x\n{name},y\n")
    captioned = read_captioned(tmp_path / "set")
    assert [*texts(captioned)] == ["a.jpg"]
    assert len(misfits(captioned)) == 1


def test_a_name_that_two_pictures_have_is_none_of_them(tmp_path: Path) -> None:
    pictures(tmp_path, "x/a.jpg", "y/a.jpg", "y/b.jpg")
    (tmp_path / "captions.csv").write_text(f"image,caption\na.jpg,x\nb.jpg,y\n{'c' * 300},z\n")
    assert [*texts(read_captioned(tmp_path))] == ["b.jpg"]


def test_a_picture_that_is_too_large_is_rejected_when_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(MAX_PICTURE_BYTES + 1)
    (tmp_path / "a.txt").write_text("a")
    [picture] = read_captioned(tmp_path).pictures
    with pytest.raises(RejectedImage, match="more than 50000000 bytes"):
        picture.read()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{"),
        ("a.json", b"[1]"),
        ("a.tar", b"no tar"),
        ("a.xlsx", b"PK"),
        ("a.txt", b"x"),
    ],
)
def test_what_is_no_captioned_set_is_one_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(InvalidRequest) as refusal:
        read_captioned(file)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_forms_that_can_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_captioned(tmp_path)
    assert all(form.name in str(refusal.value) for form in FORMS)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none does not exist"):
        read_captioned(tmp_path / "none")
    (tmp_path / "a.csv").write_text("image,caption\n")
    with pytest.raises(InvalidRequest, match=r"nowhere does not exist"):
        read_captioned(tmp_path / "a.csv", tmp_path / "nowhere")


def test_of_several_captions_files_one_is_to_be_named(tmp_path: Path) -> None:
    for name in ("captions_train2017.json", "captions_val2017.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidRequest, match=r"name one.*train2017\.json, captions_val2017"):
        read_captioned(tmp_path)


def test_a_text_file_may_have_the_whole_name_of_its_picture(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "A.png", "c.png")
    for name, text in {
        "a.jpg.txt": "an apple",
        "a.jpg.de.txt": "ein Apfel",
        "A.DE.txt": "eine Aprikose",
        "c.jpg.txt": "of a picture that is missing",
    }.items():
        (tmp_path / name).write_text(text)
    captioned = read_captioned(tmp_path)
    said = {each.name: {(c.text, c.language) for c in each.captions} for each in captioned.pictures}
    assert said == {
        "a.jpg": {("an apple", ""), ("ein Apfel", "de")},
        "A.png": {("eine Aprikose", "de")},
    }
    assert misfits(captioned) == [
        "captions whose picture is missing: 1 (c.jpg.txt)",
        "pictures without a caption: 1 (c.png)",
    ]


def test_one_file_by_several_names_is_one_picture(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "Images/b.jpg")
    (tmp_path / "c.jpg").symlink_to(tmp_path / "a.jpg")
    names = ("a.jpg", "./a.jpg", "sub/a.jpg", "sub\\a.jpg", "c.jpg", "b.jpg", "Images/b.jpg")
    rows = "".join(f"{name},{number}\n" for number, name in enumerate(names))
    (tmp_path / "captions.csv").write_text(f"image,caption\n{rows}")
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {"a.jpg": ["0", "1", "2", "3", "4"], "b.jpg": ["5", "6"]}
    assert misfits(captioned) == []


def test_of_two_pictures_with_one_text_the_other_is_without_a_caption(tmp_path: Path) -> None:
    pictures(tmp_path, "x/a.jpg", "x/a.png", "b.jpg", "b.png")
    for name in ("x/a.txt", "b.jpg.txt", "b.png.txt"):
        (tmp_path / name).write_text(name)
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {
        "b.jpg": ["b.jpg.txt"],
        "b.png": ["b.png.txt"],
        "x/a.jpg": ["x/a.txt"],
    }
    assert misfits(captioned) == [
        "pictures without a caption: 1 (x/a.png, as a.jpg beside it has the caption)"
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_apart_from_their_letters(
    tmp_path: Path, form: Literal["NFC", "NFD"]
) -> None:
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    for folder in ("texts", "rows"):
        written = unicodedata.normalize(form, f"{folder}/Äpfel/Müll.jpg")
        pictures(tmp_path, written, f"{folder}/anders/x.jpg")
    text = unicodedata.normalize(other, "Müll.txt")
    (tmp_path / "texts" / unicodedata.normalize(form, "Äpfel") / text).write_text("rubbish")
    [picture] = read_captioned(tmp_path / "texts").pictures
    assert [each.text for each in picture.captions] == ["rubbish"]
    name = unicodedata.normalize(other, "Äpfel/Müll.jpg")
    (tmp_path / "rows" / "captions.csv").write_text(f"image,caption\n{name},rubbish\nMüll.jpg,x\n")
    captioned = read_captioned(tmp_path / "rows")
    assert texts(captioned) == {name: ["rubbish", "x"]}
    assert misfits(captioned) == []


def test_what_a_mac_adds_to_a_zip_is_no_picture(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "__MACOSX/._a.jpg")
    for name in ("a.txt", "__MACOSX/._a.txt"):
        (tmp_path / name).write_text(name)
    captioned = read_captioned(tmp_path)
    assert (texts(captioned), misfits(captioned)) == ({"a.jpg": ["a.txt"]}, [])


def test_a_row_with_broken_quotes_costs_that_row_alone(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "b.jpg")
    rows = [
        'a.jpg,"Red" thing',
        'a.jpg,"never closed',
        "b.jpg,a bee",
        'b.jpg,"over\ntwo lines, with ""quotes"""',
        *["b.jpg,the same"] * 60,
        'a.jpg,"the last, never closed',
        "a.jpg,an apple",
    ]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {
        "a.jpg": ["an apple"],
        "b.jpg": ["a bee", 'over\ntwo lines, with "quotes"', "the same"],
    }
    assert misfits(captioned) == [
        "entries that cannot be read: 3"
        " (line 2 of captions.csv, line 3 of captions.csv, line 67 of captions.csv)"
    ]


def test_shards_in_folders_within_are_measured_as_they_are_added(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        members = {"1.jpg": b"one", "1.txt": f"a {split}".encode()}
        shard(tmp_path / split / "0.tar", members)
    (tmp_path / "val" / "1.tar.gz").write_bytes(b"\x1f\x8b")
    captioned = read_captioned(tmp_path)
    assert texts(captioned) == {"train/0/1": ["a train"], "val/0/1": ["a val"]}
    (compressed,) = misfits(captioned)
    assert "val/1.tar.gz from there on: it is compressed" in compressed


def test_an_archive_among_captioned_pictures_is_no_set_of_shards(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    (tmp_path / "a.txt").write_text("an apple")
    shard(tmp_path / "backup.tar", {"1.jpg": b"one", "1.txt": b"another"})
    assert texts(read_captioned(tmp_path)) == {"a.jpg": ["an apple"]}


def test_a_shard_that_was_cut_costs_its_rest_alone(tmp_path: Path) -> None:
    members = {
        f"{number}.{end}": f"{number}".encode() * 600
        for number in (1, 2, 3)
        for end in ("jpg", "txt")
    }
    members |= {f"{number}.txt": f"say {number}".encode() for number in (1, 2, 3)}
    whole = shard(tmp_path / "0.tar", members).read_bytes()
    at = whole.index(b"3.jpg")  # after it the picture's 600 bytes
    (tmp_path / "0.tar").write_bytes(whole[: at + 700])
    (tmp_path / "1.tar").write_bytes(b"no tar")
    shard(tmp_path / "2.tar", members)
    captioned = read_captioned(tmp_path)
    assert [*texts(captioned)] == ["0/1", "0/2", "2/1", "2/2", "2/3"]
    without, rest = misfits(captioned)
    assert without == "pictures without a caption: 1 (0/3)"
    assert rest.startswith("entries that cannot be read: 2 (0.tar from there on: unexpected end")
    assert "1.tar from there on: " in rest


def test_a_member_that_was_cut_is_rejected_when_it_is_read(tmp_path: Path) -> None:
    file = shard(tmp_path / "0.tar", {"1.txt": b"one", "1.jpg": b"1" * 2_000})
    captioned = read_captioned(file)
    file.write_bytes(file.read_bytes()[:2_600])
    with pytest.raises(RejectedImage, match="of its 2000 bytes"):
        captioned.pictures[0].read()


def test_one_broken_sentence_costs_that_sentence_alone(tmp_path: Path) -> None:
    pictures(tmp_path, "1.jpg", "2.jpg")
    first, second = karpathy("1.jpg", "test", "one", "two"), karpathy("2.jpg", "test")
    first["sentences"] += [{"tokens": ["x"]}, {"raw": 7}, None, {"raw": "three"}]
    second["sentences"] = [{"raw": None}]
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"images": [first, second]}))
    captioned = read_captioned(file)
    assert texts(captioned) == {"1.jpg": ["one", "two", "three"]}
    assert misfits(captioned) == [
        "entries that cannot be read: 4"
        " (images[0].sentences[2], images[0].sentences[3], images[0].sentences[4], …)",
        "pictures without a caption: 1 (2.jpg)",
    ]


@pytest.mark.parametrize("name", ["a.gif", "b.BMP", "c.tif", "d.avif", "e.heic", "f.jfif"])
def test_what_a_folder_s_pictures_may_be_has_captions_too(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, f"texts/{name}", f"rows/below/{name}")
    (tmp_path / "texts" / f"{name[0]}.txt").write_text("x")
    (tmp_path / "rows" / "captions.csv").write_text(f"image,caption\n{name},x\n")
    for folder in ("texts", "rows"):
        assert texts(read_captioned(tmp_path / folder)) == {name: ["x"]}
    file = shard(tmp_path / "0.tar", {name: b"1", f"{name[0]}.txt": b"x"})
    assert texts(read_captioned(file)) == {f"0/{name[0]}": ["x"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_may_be_as_spreadsheets_write_it(tmp_path: Path, encoding: str) -> None:
    pictures(tmp_path, "a.jpg")
    text = 'Image;CAPTION;Language\r\na.jpg;"a bee; close up";en\r\n\r\na.jpg;Biene, nah;de\r\n'
    (tmp_path / "captions.csv").write_bytes(text.encode(encoding))
    [picture] = read_captioned(tmp_path).pictures
    assert [(each.text, each.language) for each in picture.captions] == [
        ("a bee; close up", "en"),
        ("Biene, nah", "de"),
    ]


def test_a_folder_s_captions_file_is_found_where_it_is_when_it_is_added(tmp_path: Path) -> None:
    pictures(tmp_path, "val2017/1.jpg", "train2017/2.jpg")
    (tmp_path / "annotations").mkdir()
    coco = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "caption": "one"}],
    }
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(coco))
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{}")
    (tmp_path / "results.csv").write_text("runner,seconds\nAnn,31\n")
    assert texts(read_captioned(tmp_path)) == {"1.jpg": ["one"]}
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    with pytest.raises(InvalidRequest, match=r"annotations/captions_train2017\.json, annotations/"):
        read_captioned(tmp_path)
    header = "image_name| comment_number| comment"
    (tmp_path / "results.csv").write_text(f"{header}\n2.jpg| 0| two\n")
    assert texts(read_captioned(tmp_path)) == {"2.jpg": ["two"]}


def test_pictures_with_texts_beside_them_are_not_read_by_a_file_below(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "old/b.jpg")
    (tmp_path / "a.txt").write_text("an apple")
    (tmp_path / "old" / "captions.csv").write_text("image,caption\nb.jpg,a bee\n")
    assert texts(read_captioned(tmp_path)) == {"a.jpg": ["an apple"]}


def test_the_encoder_is_given_a_png_of_what_it_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(encoded(picture(1, 64, 48), "GIF"))
    (tmp_path / "b.jpg").write_bytes(jpeg(2))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    with opened_set(load_settings(), tmp_path, None, None, "test") as captioned:
        data = [each.read() for each in captioned.pictures]
    assert [decode(each).size for each in data] == [(64, 48), (64, 48)]
    assert data[1] == jpeg(2)
