"""Captioned sets of packages like Debian's, whose odd files are counted; nothing of Debian's."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.eval_packages import drawing, svg_with, write_clipart, write_stamps
from tools.eval import clipart, stamps
from tools.eval.captioned import drawn
from tools.eval.debian import CannotFetch, unpacked


def rows(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        return [(row["image"], row["caption"], row["language"]) for row in csv.DictReader(file)]


def test_each_line_of_a_stamp_is_a_caption_in_its_language(tmp_path: Path) -> None:
    write_stamps(tmp_path / "package")
    stamps.write(tmp_path / "package", tmp_path / "set", ["en", "de", "sr-Latn", "ja"])
    assert [row for row in rows(tmp_path / "set") if row[0].startswith("shapes/0")] == [
        ("shapes/0.png", "A circle.", "en"),
        ("shapes/0.png", "Ein Kreis.", "de"),
        ("shapes/0.png", "Krug.", "sr-Latn"),
        ("shapes/0.png", "円", "ja"),
    ]


def test_languages_that_are_not_asked_for_are_left_out_and_all_is_all(tmp_path: Path) -> None:
    write_stamps(tmp_path / "package")
    languages = {}
    for asked in ("de", "all"):
        stamps.write(tmp_path / "package", tmp_path / asked, [asked])
        languages[asked] = {language for _, _, language in rows(tmp_path / asked)}
    assert languages == {"de": {"de"}, "all": {"en", "de", "fr", "sr-Latn", "ja"}}


def test_what_is_odd_among_stamps_is_left_out_and_counted(tmp_path: Path) -> None:
    write_stamps(tmp_path / "package")
    told = stamps.write(tmp_path / "package", tmp_path / "set")
    for left_out in (
        "1 lines that are not UTF-8",
        "1 lines of no language",
        "1 languages without a text",
        "1 texts without a picture",
        "1 turned stamps",
        "1 pictures without a text",
        "1 drawings that cannot be drawn or show nothing",
    ):
        assert f"; left out: {left_out}" in told
    assert told.count("left out") == 7
    names = {name for name, _, _ in rows(tmp_path / "set")}
    assert not {name for name in names if "mirror" in name or "silent" in name or "void" in name}


def test_a_stamp_that_is_there_twice_is_one_picture(tmp_path: Path) -> None:
    write_stamps(tmp_path / "package")
    stamps.write(tmp_path / "package", tmp_path / "set")
    folder = tmp_path / "package" / stamps.STAMPS / "shapes"
    assert (folder / "1.svg").exists()
    assert (tmp_path / "set" / "shapes" / "1.png").read_bytes() == (folder / "1.png").read_bytes()


def test_a_drawing_has_its_own_title_description_and_keywords(tmp_path: Path) -> None:
    write_clipart(tmp_path / "package")
    told = clipart.write(tmp_path / "package", tmp_path / "set")
    assert [text for name, text, _ in rows(tmp_path / "set") if name == "food/pear.png"] == [
        "A pear",
        "A green pear & a leaf",
        "fruit, pear",
    ]
    assert {language for _, _, language in rows(tmp_path / "set")} == {""}
    assert "; left out: 1 files that are no XML" in told
    assert "; left out: 2 drawings without a text of their own" in told


def test_what_many_drawings_are_called_is_no_caption(tmp_path: Path) -> None:
    write_clipart(tmp_path / "package")
    clipart.write(tmp_path / "package", tmp_path / "set")
    texts = [text for _, text, _ in rows(tmp_path / "set")]
    assert "My collection" not in texts
    assert texts.count("Two of a kind") == 2


def test_clipart_is_of_a_bounded_number_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clipart(tmp_path / "package")
    monkeypatch.setattr(clipart, "PICTURES", 3)
    for name in ("one", "other"):
        clipart.write(tmp_path / "package", tmp_path / name)
    assert rows(tmp_path / "one") == rows(tmp_path / "other")
    assert len({name for name, _, _ in rows(tmp_path / "one")}) == 3


@pytest.mark.parametrize("size", ['width="40" height="10"', 'width="30pt" height="7.5pt"'])
def test_a_drawing_keeps_its_shape_and_is_transparent_beside_it(tmp_path: Path, size: str) -> None:
    svg = tmp_path / "a.svg"
    svg.write_text(drawing(size))
    with Image.open(io.BytesIO(drawn(svg))) as image:
        assert image.size == (512, 128)
        assert image.getpixel((64, 64)) == (255, 0, 0, 255)
        assert image.getpixel((500, 10)) == (0, 0, 0, 0)


@pytest.mark.parametrize("text", ["", "<svg", svg_with("<defs/>")])
def test_what_shows_nothing_is_no_drawing(tmp_path: Path, text: str) -> None:
    svg = tmp_path / "a.svg"
    svg.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        drawn(svg)


def test_a_package_that_is_there_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "something").mkdir()
    assert unpacked("something", tmp_path) == tmp_path / "something"


def test_a_package_is_unpacked_without_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(monkeypatch, tmp_path, "touch $2.deb", "mkdir -p $3/usr && echo $2 > $3/usr/name")
    root = unpacked("something", tmp_path / "packages")
    assert (root / "usr" / "name").read_text() == "something.deb\n"
    assert [*(tmp_path / "packages").iterdir()] == [root]


@pytest.mark.parametrize(
    ("apt", "why"),
    [
        (None, "something is a package of Debian, and apt-get is not here, which gets it"),
        (
            "echo 'E: Unable to locate package something' >&2; echo W: as root >&2; exit 100",
            "something: apt-get fails, try `apt-get update`: E: Unable to locate package something",
        ),
        ("exit 3", "something: apt-get fails, try `apt-get update`: it ended with 3"),
    ],
)
def test_a_package_that_cannot_be_had_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apt: str | None, why: str
) -> None:
    programs(monkeypatch, tmp_path, apt, "exit 0")
    with pytest.raises(CannotFetch) as caught:
        unpacked("something", tmp_path / "packages")
    assert str(caught.value) == why
    assert not [*(tmp_path / "packages").iterdir()]


def programs(monkeypatch: pytest.MonkeyPatch, folder: Path, apt: str | None, dpkg: str) -> None:
    """Have apt-get and dpkg be scripts of ours, or apt-get be none."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("touch", "mkdir"):
        (programs / name).symlink_to(Path("/bin") / name)
    for name, script in (("apt-get", apt), ("dpkg", dpkg)):
        if script is not None:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
