"""What is read of a picture's file: EXIF, IPTC and XMP, whoever wrote them."""

from __future__ import annotations

import struct
import time
import unicodedata
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from imagesearch.domain.picture_facts import (
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_TITLE_CHARACTERS,
    PictureFacts,
    joined,
    one_tag,
    tags_of,
)
from imagesearch.folders.blocks import EXIF_HEAD, format_of
from imagesearch.folders.facts import facts_of, title_of_name
from tools.pictures import encoded, picture, segment

EXIF_IFD, GPS_IFD = 34665, 34853
NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" '
    'xmlns:digiKam="http://www.digikam.org/ns/1.0/" '
    'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)


def xmp(within: str = "", attributes: str = "", before: str = "") -> bytes:
    return (
        f'{before}<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMESPACES}>'
        f'<rdf:Description rdf:about="" {attributes}>{within}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def listed(name: str, *texts: str, kind: str = "Bag") -> str:
    items = "".join(f"<rdf:li>{text}</rdf:li>" for text in texts)
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"


def exif(**fields: object) -> Image.Exif:
    made = Image.Exif()
    for name, value in fields.items():
        made[int(name.removeprefix("t"))] = value
    return made


def taken(text: str, tag: int = 36867) -> Image.Exif:
    made = Image.Exif()
    made.get_ifd(EXIF_IFD)[tag] = text
    return made


def record(number: int, text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">BBBH", 0x1C, 2, number, len(data)) + data


def photoshop(*records: bytes) -> bytes:
    iptc = b"".join(records)
    other = b"8BIM\x03\xed\0\0" + struct.pack(">I", 3) + b"abc\0"
    named = b"8BIM\x04\x04\x03abc" + struct.pack(">I", len(iptc)) + iptc
    return b"Photoshop 3.0\0" + other + named


def jpeg(*segments: bytes) -> bytes:
    plain = encoded(picture(1, 64, 48))
    return plain[:2] + b"".join(segments) + plain[2:]


def iptc_jpeg(*records: bytes) -> bytes:
    return jpeg(segment(0xED, photoshop(*records)))


def xmp_jpeg(document: bytes) -> bytes:
    return jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + document))


def exif_jpeg(block: Image.Exif | bytes) -> bytes:
    data = block if isinstance(block, bytes) else block.tobytes()
    return jpeg(segment(0xE1, EXIF_HEAD + data.removeprefix(EXIF_HEAD)))


def test_all_three_standards_of_a_jpeg_become_one() -> None:
    block = exif(t271="Apple", t272="iPhone 12", t315="A. Artist", t18246=3)
    block.get_ifd(EXIF_IFD)[36867] = "2012:05:31 23:59:59"
    block.get_ifd(GPS_IFD).update({1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    document = xmp(listed("dc:subject", "Beach", "dog") + listed("dc:title", "A dog", kind="Alt"))
    data = jpeg(
        segment(0xE1, block.tobytes()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + document),
        segment(0xED, photoshop(record(25, "beach"), record(25, "sea"), record(116, "© A."))),
    )
    assert facts_of(data) == PictureFacts(
        year=2012,
        month=5,
        camera="Apple iPhone 12",
        rating=3,
        title="A dog",
        tags=("Beach", "dog", "sea"),
        user="A. Artist",
        licence="© A.",
        place=(-33.858333, 151.2),
    )


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
def test_exif_and_xmp_are_found_in_each_format(name: str) -> None:
    block = exif(t271="Apple", t272="iPhone 12")
    document = xmp(listed("dc:subject", "dog"))
    image = picture(1, 64, 48)
    if name == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", document.decode(), zip=True)
        data = encoded(image, name, exif=block, pnginfo=info)
    elif name == "TIFF":
        data = encoded(image, name, tiffinfo={271: "Apple", 272: "iPhone 12", 700: document})
    elif name == "MPO":
        data = encoded(
            image, name, exif=block, xmp=document, save_all=True, append_images=[picture(2, 64, 48)]
        )
    else:
        data = encoded(image, name, exif=block, xmp=document)
    facts = facts_of(data)
    assert (facts.camera, facts.tags) == ("Apple iPhone 12", ("dog",))


def test_a_heic_file_is_read_without_the_extra_that_decodes_it() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(picture(1, 64, 48))
    file = BytesIO()
    heif.save(file, exif=exif(t271="Apple").tobytes(), xmp=xmp(listed("dc:subject", "dog")))
    data = file.getvalue()
    assert format_of(data) == "HEIC"
    assert (facts_of(data).camera, facts_of(data).tags) == ("Apple", ("dog",))


@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata_boxes_with_offsets_of_any_size_are_read(order: str) -> None:
    """As a HEIC file of a telephone has them: an iloc of version 1, an item in two parts."""
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, 1)
    tiff += struct.pack(order + "HHI", 271, 2, 4) + b"Abc\0" + bytes(4)
    item = struct.pack(">I", 0) + tiff

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    infe = box(b"infe", struct.pack(">IHH4s", 2 << 24, 7, 0, b"Exif") + b"\0")
    iinf = box(b"iinf", struct.pack(">IH", 0, 1) + infe)
    head = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")

    def iloc(at: int) -> bytes:
        parts = struct.pack(">QQQQ", 0, 10, 10, len(item) - 10)
        return box(
            b"iloc", struct.pack(">IBBH", 1 << 24, 0x88, 0x40, 1)
            + struct.pack(">HHHIH", 7, 0, 0, at, 2) + parts,
        )  # fmt: skip

    def meta(at: int) -> bytes:
        return box(b"meta", bytes(4) + iinf + iloc(at))

    at = len(head) + len(meta(0)) + 8
    assert facts_of(head + meta(at) + box(b"mdat", item)).camera == "Abc"


def test_texts_of_a_png_in_hexadecimal_are_read() -> None:
    """As ImageMagick writes EXIF and IPTC."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    def profile(name: str, data: bytes) -> bytes:
        text = f"\n{name}\n{len(data):8}\n{data.hex()}\n".encode()
        return chunk(b"zTXt", f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(text))

    plain = encoded(picture(1, 64, 48), "PNG")
    iptc = photoshop(record(25, "dog")).removeprefix(b"Photoshop 3.0\0")
    data = plain[:33] + profile("exif", exif(t271="Apple").tobytes()) + profile("iptc", iptc)
    facts = facts_of(data + plain[33:])
    assert (facts.camera, facts.tags) == ("Apple", ("dog",))


def test_a_small_text_that_unpacks_to_gigabytes_is_cut() -> None:
    bomb = zlib.compress(b" " * 50_000_000, 9)
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + bomb
    plain = encoded(picture(1, 64, 48), "PNG")
    data = plain[:33] + struct.pack(">I4s", len(body), b"iTXt") + body + bytes(4) + plain[33:]
    started = time.process_time()
    assert facts_of(data) == PictureFacts()
    assert time.process_time() - started < 0.1


# --- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2012:05:31 10:00:00", (2012, 5)),
        ("2012-05-31T10:00:00+02:00", (2012, 5)),
        ("0000:00:00 00:00:00", (0, 0)),
        ("    :  :     :  :  ", (0, 0)),
        ("1799:12:31 00:00:00", (0, 0)),
        ("2012:13:01 00:00:00", (0, 0)),
        ("2012", (2012, 0)),
        ("1234567890", (0, 0)),
    ],
)
def test_a_date_is_year_and_month_as_the_camera_had_them(text: str, date: tuple[int, int]) -> None:
    facts = facts_of(exif_jpeg(taken(text)))
    assert (facts.year, facts.month) == date


def test_of_several_dates_the_one_of_the_shutter_counts() -> None:
    dates = [
        segment(0xE1, EXIF_HEAD + taken("2001:01:01 00:00:00").tobytes().removeprefix(EXIF_HEAD)),
        segment(0xED, photoshop(record(55, "20020200"))),
        segment(
            0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp("", 'photoshop:DateCreated="2003-03"')
        ),
        segment(0xE1, taken("2004:04:01 00:00:00", 36868).tobytes()),
    ]
    read = [facts_of(jpeg(*dates[first:])) for first in range(4)]
    assert [(facts.year, facts.month) for facts in read] == [
        *((2001, 1), (2002, 2), (2003, 3), (2004, 4))
    ]


def test_the_date_of_the_last_change_is_none() -> None:
    assert facts_of(exif_jpeg(exif(t306="2012:05:31 10:00:00"))).year == 0


# --- what, and by whom ---------------------------------------------------------------------------


def test_keywords_of_all_standards_are_tags_once_and_hierarchies_by_their_leaves() -> None:
    document = xmp(
        listed("dc:subject", "Rome", "ｄｏｇ")
        + listed("lr:hierarchicalSubject", "Places|Europe|Rome", "Animals|Cat")
        + listed("digiKam:TagsList", "Places/Sea", "People/Ann", kind="Seq")
        + listed("e:PersonInImage", "Bob")
    )
    keywords = "DOG;beach".encode("utf-16-le") + b"\0\0"
    data = jpeg(
        segment(0xE1, exif(t40094=keywords).tobytes()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + document),
        segment(0xED, photoshop(record(25, "rome"), record(25, "Forum"))),
    )
    assert facts_of(data).tags == ("Rome", "ｄｏｇ", "Forum", "beach", "Cat", "Sea", "Ann", "Bob")


def test_tags_are_bounded_in_number_and_length() -> None:
    many = [f"t{number}" for number in range(MAX_TAGS + 5)]
    assert tags_of(many) == tuple(many[:MAX_TAGS])
    assert tags_of(["a" * (MAX_TAG_CHARACTERS + 1), "b" * MAX_TAG_CHARACTERS, "\u200b", ""]) == (
        "b" * MAX_TAG_CHARACTERS,
    )


def test_a_keyword_with_commas_is_several_tags_and_a_name_is_one() -> None:
    assert tags_of(["Paris, France; Europe"]) == ("Paris", "France", "Europe")
    assert tags_of([one_tag("Smith, Ann")]) == ("Smith Ann",)
    assert one_tag(None) == one_tag("\u200b") == ""


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "", "Apple"),
        ("", "iPhone", "iPhone"),
        ("Apple ", "iPh\x1bone", "Apple iPh one"),
    ],
)
def test_a_camera_is_make_and_model_and_the_make_is_said_once(
    make: str, model: str, camera: str
) -> None:
    assert facts_of(exif_jpeg(exif(t271=make, t272=model))).camera == camera


def test_a_camera_may_be_in_xmp_alone() -> None:
    document = xmp("", 'tiff:Make="Apple" tiff:Model="iPhone\u202e"')
    assert facts_of(xmp_jpeg(document)).camera == "Apple iPhone"


@pytest.mark.parametrize(
    ("data", "rating"),
    [
        (xmp_jpeg(xmp("", 'xmp:Rating="4"')), 4),
        (xmp_jpeg(xmp("<xmp:Rating>-1</xmp:Rating>")), -1),
        (xmp_jpeg(xmp("", 'xmp:Rating="3.0"')), 3),
        (xmp_jpeg(xmp("", 'xmp:Rating="6"')), 0),
        (xmp_jpeg(xmp("", 'xmp:Rating="-5"')), 0),
        (exif_jpeg(exif(t18246=5)), 5),
        (exif_jpeg(exif(t18246=60000)), 0),
        (exif_jpeg(exif(t18249=75)), 4),
        (exif_jpeg(exif(t18249=1)), 1),
    ],
)
def test_a_rating_is_1_to_5_or_rejected(data: bytes, rating: int) -> None:
    assert facts_of(data).rating == rating


def test_a_title_goes_before_a_headline_and_a_headline_before_a_caption() -> None:
    records = [record(5, "Title"), record(105, "Headline"), record(120, "Caption")]
    titles = [facts_of(iptc_jpeg(*records[first:])).title for first in range(3)]
    assert titles == ["Title", "Headline", "Caption"]


@pytest.mark.parametrize(
    "text",
    ["OLYMPUS DIGITAL CAMERA", "SONY DSC", "DSC_0001.JPG", "IMG_1234", '{"a": 1}', "", "\u200b"],
)
def test_what_no_person_wrote_is_no_title(text: str) -> None:
    assert facts_of(iptc_jpeg(record(5, text), record(120, "A caption"))).title == "A caption"


def test_a_text_about_a_digital_camera_is_a_title() -> None:
    assert facts_of(iptc_jpeg(record(5, "My new digital camera"))).title == "My new digital camera"


def test_of_the_languages_of_a_title_the_default_one_counts() -> None:
    languages = (
        '<dc:title><rdf:Alt><rdf:li xml:lang="de">Hund</rdf:li>'
        '<rdf:li xml:lang="x-default">Dog</rdf:li></rdf:Alt></dc:title>'
    )
    assert facts_of(xmp_jpeg(xmp(languages))).title == "Dog"


@pytest.mark.parametrize(
    "comment",
    [
        b"ASCII\0\0\0Hi there\0\0\0",
        b"UNICODE\0" + "Hi there".encode("utf-16-le"),
        b"UNICODE\0" + "Hi there".encode("utf-16-be"),
        b"UNICODE\0" + "Hi there".encode("utf-16"),
        bytes(8) + b"Hi there",
    ],
)
def test_a_users_comment_is_read_in_the_code_that_it_names(comment: bytes) -> None:
    made = Image.Exif()
    made.get_ifd(EXIF_IFD)[37510] = comment
    assert facts_of(exif_jpeg(made)).title == "Hi there"


def test_texts_of_windows_are_utf16() -> None:
    made = exif(t40091="Größe 😀".encode("utf-16-le") + b"\0\0", t40093="Jörg".encode("utf-16-le"))
    facts = facts_of(exif_jpeg(made))
    assert (facts.title, facts.user) == ("Größe 😀", "Jörg")


def test_texts_are_utf8_or_else_of_windows() -> None:
    assert facts_of(iptc_jpeg(record(120, "Größe".encode()))).title == "Größe"
    assert facts_of(iptc_jpeg(record(120, "Größe".encode("cp1252")))).title == "Größe"


def test_texts_are_one_line_without_controls_and_bounded() -> None:
    title = facts_of(iptc_jpeg(record(120, "a\x1b[2J\n\u202eb" + "c" * 500))).title
    assert title == "a [2J b" + "c" * (MAX_TITLE_CHARACTERS - 8) + "…"


def test_several_people_may_have_taken_a_picture() -> None:
    assert (
        facts_of(xmp_jpeg(xmp(listed("dc:creator", "Ann", "Bob", kind="Seq")))).user == "Ann, Bob"
    )
    assert facts_of(iptc_jpeg(record(80, "Ann"), record(80, "Bob"))).user == "Ann, Bob"


# --- where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        ("52,31.2N", "13,24,30W", (52.52, -13.408333)),
        ("0,0N", "0,0E", None),
        ("91,0N", "13,0E", None),
        ("52,1.2.3N", "13,0E", None),
        ("52,31.2E", "13,24N", None),
    ],
)
def test_a_place_in_xmp_is_degrees(
    latitude: str, longitude: str, place: tuple[float, float] | None
) -> None:
    document = xmp("", f'exif:GPSLatitude="{latitude}" exif:GPSLongitude="{longitude}"')
    assert facts_of(xmp_jpeg(document)).place == place


def test_a_place_of_unknown_degrees_is_none() -> None:
    unknown = (IFDRational(0, 0),) * 3
    made = Image.Exif()
    made.get_ifd(GPS_IFD).update({1: "N", 2: unknown, 3: "E", 4: unknown})
    assert facts_of(exif_jpeg(made)).place is None


# --- what strangers write ------------------------------------------------------------------------


def test_a_document_that_declares_entities_is_refused() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    title = listed("dc:title", "&l9;", kind="Alt")
    document = xmp(title, before=f"<!DOCTYPE x [{laughs}]>")
    assert facts_of(xmp_jpeg(document)) == PictureFacts()


def test_what_was_read_of_a_cut_document_is_kept() -> None:
    document = xmp(listed("dc:subject", "dog", "cat"))
    cut = document[: document.index(b"</rdf:Bag>")]
    assert facts_of(xmp_jpeg(cut)).tags == ("dog", "cat")


def test_a_document_that_nests_too_deep_is_left() -> None:
    document = xmp("<a>" * 2_000 + "</a>" * 2_000 + listed("dc:subject", "dog"))
    assert facts_of(xmp_jpeg(document)).tags == ()


def test_what_lies_within_another_field_is_no_field() -> None:
    inner = f"<rdf:Description>{listed('dc:title', 'Inner')}</rdf:Description>"
    assert facts_of(xmp_jpeg(xmp(f"<dc:source>{inner}</dc:source>"))).title == ""


def test_a_directory_that_names_itself_ends() -> None:
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", EXIF_IFD, 4, 1, 8) + bytes(4)
    assert facts_of(exif_jpeg(tiff)) == PictureFacts()


def test_many_fields_over_the_same_bytes_cost_little() -> None:
    """Pillow copied them for each field."""
    field = struct.pack("<HHII", 700, 1, 60_000, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 5_000) + field * 5_000
    started = time.process_time()
    facts_of(exif_jpeg(tiff))
    assert time.process_time() - started < 0.05


def everything() -> list[bytes]:
    made = exif(t271="Apple", t40094="a;b".encode("utf-16-le"))
    made.get_ifd(EXIF_IFD).update({36867: "2012:05:31 10:00:00", 37510: b"UNICODE\0a\0b\0"})
    made.get_ifd(GPS_IFD).update({1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    document = xmp(listed("dc:subject", "dog"), 'xmp:Rating="4"')
    image = picture(1, 16, 16)
    whole = jpeg(
        segment(0xE1, made.tobytes()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + document),
        segment(0xED, photoshop(record(25, "beach"))),
    )
    others = [encoded(image, name, exif=made) for name in ("PNG", "WEBP", "AVIF", "TIFF")]
    return [whole, *others]


WHOLE = everything()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=8)), max_size=8),
    st.integers(0, 4_000),
)
def test_no_bytes_make_it_raise(data: bytes, changes: list[tuple[int, bytes]], length: int) -> None:
    changed = bytearray(data)
    for place, some in changes:
        changed[place : place + len(some)] = some
    for each in (bytes(changed), bytes(changed[:length])):
        facts = facts_of(each)
        assert len(facts.tags) <= MAX_TAGS
        # But for joiners, which scripts need: what no font has, or somebody's own alone.
        hidden = {each for each in facts.title if not each.isprintable()} - {"\u200c", "\u200d"}
        assert {unicodedata.category(each) for each in hidden} <= {"Co", "Cn"}


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xff\xff\xff", b"RIFF"])
def test_of_what_is_no_picture_nothing_is_known(data: bytes) -> None:
    assert facts_of(data) == PictureFacts()


def test_a_jpeg_without_metadata_costs_next_to_nothing() -> None:
    """0.02 ms on one core; the bound is for a busy machine."""
    data = encoded(picture(1, 640, 480))
    started = time.process_time()
    for _ in range(100):
        facts_of(data)
    assert (time.process_time() - started) / 100 < 0.000_3


# --- places by name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        iptc_jpeg(record(90, "Bergen"), record(95, "Vestland"), record(101, "Norway")),
        xmp_jpeg(
            xmp(
                "<photoshop:City>Bergen</photoshop:City>",
                'photoshop:State="Vestland" photoshop:Country="Norway"',
            )
        ),
    ],
)
def test_town_province_and_country_are_told_apart_from_keywords(data: bytes) -> None:
    facts = facts_of(data)
    assert (facts.place_names, facts.tags) == (("Bergen", "Vestland", "Norway"), ())


# --- with a sidecar ------------------------------------------------------------------------------


def test_what_the_first_knows_stays_and_tags_are_united() -> None:
    first = PictureFacts(year=2012, rating=-1, title="One", tags=("dog",))
    second = PictureFacts(
        year=2013, month=4, camera="C", rating=5, title="Two", tags=("Dog", "cat"), place=(1.0, 2.0)
    )
    assert joined(first, second) == PictureFacts(
        year=2012, rating=-1, title="One", tags=("dog", "cat"), camera="C", place=(1.0, 2.0)
    )
    assert joined(PictureFacts(), second) == PictureFacts(
        year=2013, month=4, camera="C", rating=5, title="Two", tags=("Dog", "cat"), place=(1.0, 2.0)
    )


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("2019/horses_in_snow-03.jpg", "horses in snow"),
        ("BlueMoon (2).png", "Blue Moon"),
        ("Anna's birthday.heic", "Anna s birthday"),
        ("猫.jpg", "猫"),
        ("horse2.png", "horse"),
        ("Paris2019 with Anna3.jpg", "Paris with Anna"),
        ("猫2.jpg", "猫"),
        ("CIMG0001.jpg", ""),
        ("SAM0001.JPG", ""),
        ("image3.png", ""),
        ("cafe1234.jpg", ""),
        ("ab12.jpg", ""),
        ("Größe_ü.jpg", "Größe ü"),
        ("IMG_2031.jpg", ""),
        ("IMG_2031-beach.jpg", "beach"),
        ("portrait of Anna at night.jpg", "portrait of Anna at night"),
        ("Small boats.png", "Small boats"),
        ("PXL_20231118_035751175.NIGHT.jpg", ""),
        ("00100lPORTRAIT_00100_BURST20191224133015123_COVER.jpg", ""),
        ("DSC_0101(1).JPG", ""),
        ("PXL_20231118_035751175.MP.jpg", ""),
        ("Screenshot 2024-01-01 at 10.11.12.png", ""),
        ("WhatsApp Image 2021-05-04.jpeg", ""),
        ("3f2a9bce-77aa-4b1c-9d2e-0123456789ab.jpg", ""),
        ("g" * 42 + ".jpg", ""),
        ("a.b.jpg", ""),
    ],
)
def test_the_name_of_a_file_is_a_title_as_far_as_a_person_wrote_it(path: str, title: str) -> None:
    assert title_of_name(path) == title
