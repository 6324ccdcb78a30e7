"""Folders like those in Debian's packages of stamps and clip art, odd files among them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from tools.eval import clipart, stamps

# Text, and a picture of it: name, English, German, Serbian, Japanese.
_SHAPES = (
    ("circle", "A circle.", "Ein Kreis.", "Krug.", "円"),
    ("square", "A square.", "Ein Quadrat.", "Kvadrat.", "四角"),
    ("line", "A line.", "Eine „Linie“.", "Linija.", "線！"),
)
_COLOURS = ("red", "green", "blue", "white")


def svg_with(inside: str, size: str = 'width="40" height="40"') -> str:
    """Return an SVG."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40" {size}>{inside}</svg>'


def drawing(size: str) -> str:
    """Return a red square at the left of 40 x 10 units, nothing besides."""
    square = '<rect width="10" height="10" fill="red"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 10" {size}>{square}</svg>'


def write_stamps(root: Path) -> None:
    """Write twelve stamps and what is odd: each of it is left out once."""
    folder = root / stamps.STAMPS / "shapes"
    folder.mkdir(parents=True)
    for number in range(12):
        shape, colour = _SHAPES[number % 3], _COLOURS[number // 3]
        _stamp(shape[0], colour).save(folder / f"{number}.png")
        _, english, german, serbian, japanese = shape
        lines = [english, f"de.utf8={german}", f"sr@latin.utf8={serbian}", f"ja.utf8={japanese}"]
        (folder / f"{number}.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    # The same stamp as a drawing, one that has only this, and one that shows nothing.
    (folder / "1.svg").write_text(svg_with('<circle r="9"/>'))
    (folder / "drawn.svg").write_text(svg_with('<circle cx="20" cy="20" r="20" fill="teal"/>'))
    (folder / "drawn.txt").write_text("A teal circle.\r\nde.utf8=Ein Kreis.\r\n")
    (folder / "void.svg").write_text(svg_with("<defs/>"))
    (folder / "void.txt").write_text("Nothing.\nde.utf8=Nichts.\n")
    (folder / "odd.txt").write_bytes(
        b"An odd one.\nde.utf8=\nfr.utf8=Un cercle \xe9trange.\nfr=Un\nfr.utf8=Un cercle.\n"
    )
    _stamp("circle", "purple").save(folder / "odd.png")
    _stamp("circle", "purple").save(folder / "odd_mirror.png")
    _stamp("circle", "black").save(folder / "silent.png")
    (folder / "gone.txt").write_text("A picture that is gone.\n")


def _stamp(shape: str, colour: str) -> Image.Image:
    """Return a shape on a transparent ground; a white one is seen on black alone."""
    image = Image.new("RGBA", (60, 44), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((8, 4, 44, 40), colour)
    elif shape == "square":
        draw.rectangle((8, 4, 44, 40), colour)
    else:
        draw.line((4, 4, 56, 40), colour, 5)
    return image


def write_clipart(root: Path) -> None:
    """Write drawings with the metadata of Openclipart's, and some that lack it."""
    folder = root / clipart.DRAWINGS / "food"
    folder.mkdir(parents=True)
    pear = _work("A  pear", "A green pear\n &amp; a leaf", ["fruit", "", "hash", "pear"])
    (folder / "pear.svg").write_text(_drawn("green", pear))
    (folder / "link.svg").symlink_to("pear.svg")
    for number, colour in enumerate(("red", "blue", "yellow", "teal")):
        work = _work("My collection", f"{colour} one", ["0xa1253c0"])
        (folder / f"{number}.svg").write_text(_drawn(colour, work))
    for number in range(2):
        work = _work("Two of a kind", "", [f"kind{number}"])
        (folder / f"kind{number}.svg").write_text(_drawn("olive", work))
    (folder / "untold.svg").write_text(_drawn("navy", ""))
    (folder / "broken.svg").write_text("<svg")


def _drawn(colour: str, work: str) -> str:
    return svg_with(f'{work}<rect x="4" y="9" width="30" height="20" fill="{colour}"/>')


def _work(title: str, description: str, keywords: list[str]) -> str:
    items = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    return (
        '<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<cc:Work><dc:title>{title}</dc:title><dc:description>{description}</dc:description>"
        f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
        "<dc:creator><cc:Agent><dc:title>Somebody</dc:title></cc:Agent></dc:creator>"
        "</cc:Work></rdf:RDF></metadata>"
    )
