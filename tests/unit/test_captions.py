"""Captioned sets in all the forms that they have, and what of them does not fit."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagesearch.domain.errors import InvalidRequest, RejectedImage
from imagesearch.evaluation.captions import MAX_PICTURE_BYTES, CaptionedSet
from imagesearch.evaluation.forms import FORMS, captions_files, read_captioned


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
        "entries that cannot be read: 3 (line 8, line 9, line 10)",
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
        (b'image,caption\na.jpg,"x\n', "cannot be read: unexpected end of data"),
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
    assert misfits(captioned) == ["entries that cannot be read: 2 (line 3, line 5)"]


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
        "entries that cannot be read: 1 (line 5)",
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
