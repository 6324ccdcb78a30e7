"""Data sets as collections: lists of URLs, captions beside pictures, tar shards; hostile ones."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image as Pillow

from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.sqlite_originals import SqliteOriginals
from imagesearch.adapters.stores.collections import CollectionStore
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.collections import (
    Collection,
    ListedFile,
    Unreadable,
    Update,
    downloaded_name,
    path_of,
    stamp_of,
    url_of_path,
)
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.images import Image
from imagesearch.domain.picture_facts import Caption, PictureFacts
from imagesearch.domain.signatures import is_image
from imagesearch.domain.work import ForgetJob
from imagesearch.evaluation.captions import NO_CAPTION
from imagesearch.evaluation.collection import captioned_collection
from imagesearch.evaluation.embedding import embed_set
from imagesearch.evaluation.tar_shards import is_shards
from imagesearch.folders.roots import CollectionRoots
from imagesearch.folders.tables import over_https
from imagesearch.local.embedded.services import StoredCollections
from imagesearch.settings import load_settings
from imagesearch.sources import polite
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits
from imagesearch.sources.polite import MAX_FAILURES
from imagesearch.usecases.cache_slots import BYTES
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.ingest import Ingest
from imagesearch.usecases.stored_pools import StoredPools
from tests.stub_http import Request, StubServer, reply
from tests.world import SetClock, World
from tools.pictures import jpeg

REVISION = "twin-1"
MAX_BYTES = 1_000_000


class Added:
    """A world in which *root* is a collection, and what brings it up to date."""

    def __init__(self, data: Path, root: Path) -> None:
        self.world, self.data = World(data), data
        self.collections = SqliteCollections(self.world.file)
        self.collection = Collection("set", str(root))
        self.collections.keep(self.collection)
        self.store = FolderStore(data / "pictures")
        self.start()

    def start(self) -> None:
        """Begin as a process does that starts."""
        world = self.world
        self.roots = CollectionRoots(
            self.store, SetClock(), "imagesearch/1 (me@example.com)", MAX_BYTES
        )
        self.pictures = CollectionStore(self.store, self.collections, self.roots)
        world.store = self.pictures  # type: ignore[assignment]
        world.restart()
        self.pools = StoredPools(world.catalog, world.outbox, world.clock, 3, 0.2)
        self.forget = Forget(world.catalog, self.store, world.cache, world.clock, self.collections)
        self.ingest = Ingest(
            world.catalog,
            self.collections,
            self.roots,
            world.cache,
            self.pools,
            world.clock,
            lambda: world.encoder.model_revision,
            self.forget.keep_down,
        )

    def update(self) -> Update:
        def step() -> None:
            if self.world.outbox.messages:
                self.world.deliver()

        self.world.clock.during_sleep = [step] * 1_000
        try:
            return self.ingest(self.collection, lambda _: None)
        finally:
            self.world.clock.during_sleep = []

    def images(self) -> dict[str, Image]:
        library = self.world.catalog.library
        nearest = library.nearest(self.world.encoder._direction(b"?"), 1000, REVISION)
        return {image.collected.file: image for image, _ in nearest.hits if image.collected}

    def problems(self) -> dict[str, str]:
        return dict(self.collections.problems("set", 100)[0])


def listed(roots: CollectionRoots, root: Path) -> dict[str, ListedFile | Unreadable]:
    return {each.path: each for each in roots.listed(str(root))}


@pytest.fixture
def roots(tmp_path: Path) -> CollectionRoots:
    return CollectionRoots(FolderStore(tmp_path / "store"), SetClock(), "imagesearch/1", MAX_BYTES)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[StubServer], str]:
    """Let the pictures of a stub be downloaded, and of no other private address."""

    def allow(server: StubServer) -> str:
        allowed = partial(Downloader, allowed_origin=server.origin)
        monkeypatch.setattr(polite, "Downloader", allowed)
        return server.origin

    return allow


def numbered(request: Request) -> bytes:
    return reply(200, jpeg(int(request.target.strip("/").partition(".")[0])))


def facts_of(entry: ListedFile | Unreadable) -> PictureFacts:
    assert isinstance(entry, ListedFile), entry
    return entry.facts


# --- lists ---------------------------------------------------------------------------------------


def test_a_list_tells_captions_credit_licence_tags_and_date_by_the_usual_names(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    file = tmp_path / "birds.csv"
    file.write_text(
        "Image URL,Caption,Alt-Text,LANGUAGE,author,license,license_url,page url,tags,date,"
        "latitude,longitude,caption_de\n"
        'https://a.example/1.jpg,"a bird, red",bird,en,Ada,CC BY 4.0,https://cc.example/by,'
        'https://a.example/1,"bird, red",2019-05-04,52.5,13.4,ein Vogel\n'
        "http://a.example/2.jpg,another,,,,,,javascript:alert(1),,,,,\n"
    )
    found = listed(roots, file)
    assert found.keys() == {"a.example/1.jpg", "a.example/2.jpg"}
    facts = facts_of(found["a.example/1.jpg"])
    assert facts == PictureFacts(
        year=2019,
        month=5,
        title="a bird, red",
        tags=("bird", "red"),
        user="Ada",
        licence="CC BY 4.0",
        place=(52.5, 13.4),
        licence_url="https://cc.example/by",
        source="birds.csv",
        page_url="https://a.example/1",
        captions=(Caption("a bird, red", "en"), Caption("bird", "en"), Caption("ein Vogel", "de")),
    )
    assert facts_of(found["a.example/2.jpg"]).page_url == "https://a.example/2.jpg"


def test_an_unsplash_folder_is_read_with_its_keywords_and_asked_for_small_pictures(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    (tmp_path / "photos.tsv000").write_text(
        "photo_id\tphoto_url\tphoto_image_url\tphoto_submitted_at\tphoto_description"
        "\tphotographer_username\tphotographer_first_name\tphotographer_last_name"
        "\texif_camera_make\texif_camera_model\tai_description\n"
        "x1\thttps://unsplash.com/photos/x1\thttps://images.unsplash.com/photo-1"
        "\t2019-02-03 10:00:00.1\t\tada\tAda\tL.\tACME\tOne\ta hill of my own\n"
    )
    (tmp_path / "keywords.tsv000").write_text(
        "photo_id\tkeyword\tai_service_1_confidence\tai_service_2_confidence\tsuggested_by_user\n"
        "x1\thill\t\t\tt\nx1\tgrass\t71.5\t\tf\nx1\tmoon\t12\t3\tf\n"
    )
    ((path, entry),) = listed(roots, tmp_path).items()
    assert path == "images.unsplash.com/photo-1?w=960&q=80&fm=jpg"
    facts = facts_of(entry)
    assert (facts.user, facts.source, facts.camera) == ("Ada L.", "Unsplash", "ACME One")
    assert (facts.title, facts.tags) == ("a hill of my own", ("hill", "grass"))
    assert (facts.page_url, facts.year) == ("https://unsplash.com/photos/x1", 2019)


def test_a_parquet_list_is_read_as_a_csv_is(tmp_path: Path, roots: CollectionRoots) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    urls = [f"https://a.example/{n}.jpg" for n in range(3)]
    columns = {"URL": urls, "TEXT": ["one", None, "three"], "keywords": [["a", "b"], [], None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "list.parquet")
    found = listed(roots, tmp_path / "list.parquet")
    assert [facts_of(each).title for each in found.values()] == ["one", "", "three"]
    assert facts_of(found["a.example/0.jpg"]).tags == ("a", "b")
    (tmp_path / "list.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(InvalidRequest, match=r"list\.parquet cannot be read: "):
        listed(roots, tmp_path / "list.parquet")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"picture,words\na,b\n", "no column of URLs, .* it has: picture, words"),
        (b"", "no column of URLs, .* it has: none"),
        (b"url,caption\n", "no row with a URL"),
        (b"url,caption\nhttps://a.example/\xff.jpg,x\n", "it is no UTF-8"),
        (gzip.compress(b"url\n"), "it is no UTF-8"),
        (b'url,caption\nhttps://a.example/1.jpg,"' + b"x" * 1_100_000, "field larger than"),
    ],
    ids=["columns", "empty", "rows", "latin-1", "gzip", "cell"],
)
def test_a_list_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, roots: CollectionRoots, text: bytes, wanted: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(text)
    with pytest.raises(InvalidRequest, match=wanted):
        listed(roots, file)


def test_rows_without_a_url_or_with_more_cells_are_told_and_the_others_kept(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    file = tmp_path / "list.csv"
    many = f"https://a.example/{'x' * 2_000}"
    file.write_text(
        f"url,caption\n,none\nhttps://a.example/1.jpg,a,b,c\n{many},x\nhttps://a.example/ 1,x\n"
        "https://a.example/2.jpg\n\n"
    )
    found = listed(roots, file)
    problems = {path: each.problem for path, each in found.items() if isinstance(each, Unreadable)}
    assert problems == {
        "list.csv, line 2": "it has no URL",
        "list.csv, line 3": "it has more cells than there are columns",
        "list.csv, line 4": "its URL has 2018 characters, of at most 2000",
        "list.csv, line 5": "its URL has a character that is not to be in one",
    }
    assert found.keys() - problems.keys() == {"a.example/2.jpg"}


@pytest.mark.parametrize(
    "name",
    "image image_link imageUrl imageURL ImageUrl src img link uri original_url photo".split(),
)
def test_a_column_of_urls_is_told_by_its_name_or_its_cells(
    tmp_path: Path, roots: CollectionRoots, name: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_text(f"id,{name},caption\n7,https://a.example/1,a dog\n8,http://a.example/2,\n")
    found = listed(roots, file)
    assert found.keys() == {"a.example/1", "a.example/2"}
    assert facts_of(found["a.example/1"]).title == "a dog"


def test_names_of_files_and_two_columns_of_urls_tell_no_column(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    file = tmp_path / "list.csv"
    for text in ("image,caption\n1.jpg,a dog\n", "a,b\nhttps://a.example/1,https://b.example/1\n"):
        file.write_text(text)
        with pytest.raises(InvalidRequest, match=r"list\.csv has no column of URLs"):
            listed(roots, file)


def test_a_link_beside_a_column_of_urls_is_the_page(tmp_path: Path, roots: CollectionRoots) -> None:
    file = tmp_path / "list.csv"
    file.write_text("link,image\nhttps://a.example/page,https://a.example/1.jpg\n")
    assert facts_of(listed(roots, file)["a.example/1.jpg"]).page_url == "https://a.example/page"


@pytest.mark.parametrize(
    ("name", "text", "titles"),
    [
        (
            "Train_GCC-training.tsv",
            'a "fine" dog\thttps://a.example/1,x;y\n"the cat\thttps://a.example/2\n',
            ["a fine dog", "the cat"],
        ),
        ("three.csv", "7,https://a.example/1,x y\n8,https://a.example/2,z\n", ["x y", "z"]),
        ("urls.txt", "https://a.example/1,x;y\r\n\r\nhttps://a.example/2\r\n", ["", ""]),
        ("urls.csv", "https://a.example/1\nhttps://a.example/2\n", ["", ""]),
    ],
)
def test_a_list_without_a_header_is_told_by_its_cells(
    tmp_path: Path, roots: CollectionRoots, name: str, text: str, titles: list[str]
) -> None:
    file = tmp_path / name
    file.write_text(text)
    found = listed(roots, file)
    assert {path.partition(",")[0] for path in found} == {"a.example/1", "a.example/2"}
    assert [facts_of(each).title.replace('"', "") for each in found.values()] == titles


def test_an_unpaired_quotation_mark_swallows_no_row_of_a_tsv(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    rows = [
        *('"so she said\thttps://a.example/1', 'then "left"\thttps://a.example/2'),
        *('"quoted, with\ta tab"\thttps://a.example/3', '"one ""word"""\thttps://a.example/4'),
        *('"two', 'lines"\thttps://a.example/5', '"a" and b\thttps://a.example/6', '"z'),
    ]
    file = tmp_path / "list.tsv"
    file.write_text("\n".join(["caption\turl", *rows]))
    found = listed(roots, file)
    titles = {path: facts_of(each).title for path, each in found.items() if "example" in path}
    assert titles == {
        "a.example/1": '"so she said',
        "a.example/2": 'then "left"',
        "a.example/3": "quoted, with a tab",
        "a.example/4": 'one "word"',
        "a.example/5": "two lines",
        "a.example/6": '"a" and b',
    }
    assert found.keys() - titles.keys() == {"list.tsv, line 9"}


def test_an_unpaired_quotation_mark_swallows_no_row_of_a_csv(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    rows = [
        *('https://a.example/1,"so she said,7', 'https://a.example/2,a screen of 55",7'),
        *('https://a.example/3,"two, with', 'https:// in it, and ""words""",7'),
        *('https://a.example/4,"a" and b,7', 'https://a.example/5,"one, two,7'),
        *('"https://a.example/6","z"', 'https://a.example/7,"the last'),
    ]
    file = tmp_path / "list.csv"
    file.write_text("\n".join(["url,caption,number", *rows]))
    found = listed(roots, file)
    titles = {path: facts_of(each).title for path, each in found.items() if "example" in path}
    assert titles == {
        "a.example/1": '"so she said',
        "a.example/2": 'a screen of 55"',
        "a.example/3": 'two, with https:// in it, and "words"',
        "a.example/4": "a and b",
        "a.example/6": "z",
        "a.example/7": '"the last',
    }
    assert found.keys() - titles.keys() == {"list.csv, line 7"}, "as it has more cells"


def test_a_quoted_last_cell_of_a_tsv_may_have_lines(tmp_path: Path, roots: CollectionRoots) -> None:
    file = tmp_path / "list.tsv"
    file.write_text('url\tcaption\nhttps://a.example/1\t"two\nlines"\nhttps://a.example/2\t"z\n')
    found = listed(roots, file)
    assert [facts_of(each).title for each in found.values()] == ["two lines", '"z']


@pytest.mark.parametrize(
    "tags",
    [
        '["dog", "deep snow"]',
        "['dog', 'deep snow']",
        "[dog, deep snow]",
        "dog|deep snow",
        "dog; deep snow",
        "['dog' 'deep snow']",
    ],
)
def test_tags_have_neither_brackets_nor_quotes(
    tmp_path: Path, roots: CollectionRoots, tags: str
) -> None:
    file = tmp_path / "list.tsv"
    quoted = '"' + tags.replace('"', '""') + '"'
    file.write_text(f"url\ttags\nhttps://a.example/1\t{quoted}\nhttps://a.example/2\t{tags}\n")
    for entry in listed(roots, file).values():
        assert facts_of(entry).tags == ("dog", "deep snow")


def test_pictures_that_folders_read_are_downloaded_within_the_bound_and_once(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    def script(request: Request) -> bytes:
        name = request.target.strip("/")
        if name == "large":
            return reply(200, jpeg(9) + bytes(MAX_BYTES))
        file = io.BytesIO()
        Pillow.new("RGB", (16, 12), f"#{len(name) * 1111:06}").save(file, name)
        return reply(200, file.getvalue())

    names = ["GIF", "BMP", "TIFF", "AVIF"]
    with StubServer(script) as server:
        origin = serve(server)
        file = tmp_path / "list.csv"
        file.write_text("\n".join(["url", f"{origin}/large", *(f"{origin}/{n}" for n in names)]))
        added = Added(tmp_path / "data", file)
        found = [each for each in added.roots.listed(str(file)) if isinstance(each, ListedFile)]
        read = [added.roots.read(str(file), each, keeps_place=False) for each in found]
        problems = {each.path: each.problem for each, _ in read if each.problem}
        assert problems == {f"{origin}/large": f"it is larger than {MAX_BYTES} bytes"}
        for picture, given in read[1:]:
            assert (picture.size, given) == ((16, 12), b"")  # it is made one that the encoder takes
            data = added.roots.picture(str(file), picture.path, picture.stamp)
            assert data.startswith(b"\x89PNG")
        asked = len(server.requests)
        again = [added.roots.read(str(file), each, keeps_place=False) for each in found[1:]]
        assert (again, len(server.requests)) == (read[1:], asked)


def test_rows_of_one_url_are_one_picture_with_the_captions_of_all(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    file = tmp_path / "list.tsv"
    file.write_text(
        "url\ttext\n" + "".join(f"https://a.example/1\tsay {n % 3}\n" for n in range(5))
    )
    ((_, entry),) = listed(roots, file).items()
    assert [each.text for each in facts_of(entry).captions] == ["say 0", "say 1", "say 2"]


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/1.jpg",
        "http://127.0.0.1:8/1.jpg",
        "file:///etc/passwd",
        "https://a.example/get?u=http://b.example/",
        "https://a.example:443/1.jpg",
    ],
)
def test_a_path_stands_for_its_url(url: str) -> None:
    assert url_of_path(path_of(url)) == url


def test_http_is_asked_over_https_unless_it_names_a_port() -> None:
    assert over_https("http://a.example/1.jpg") == "https://a.example/1.jpg"
    assert over_https("http://a.example:8080/1.jpg") == "http://a.example:8080/1.jpg"
    assert over_https("ftp://a.example/1.jpg") == "ftp://a.example/1.jpg"


def test_what_a_list_must_not_ask_for_is_refused_by_row(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    def script(request: Request) -> bytes:
        if request.target == "/private.jpg":
            return reply(302, Location="https://10.0.0.1/secret.jpg")
        if request.target == "/elsewhere.jpg":
            return reply(302, Location="https://other.example/1.jpg")
        if request.target == "/noai.jpg":
            return reply(200, jpeg(1), X_Robots_Tag="googlebot: nofollow, noai")
        if request.target == "/text.jpg":
            return reply(200, "<html>")
        return numbered(request)

    with StubServer(script) as server:
        origin = serve(server)
        urls = [
            *("file:///etc/passwd", "https://127.0.0.1/1.jpg", "https://192.168.1.1/1.jpg"),
            *("ftp://a.example/1.jpg", "https://user:pass@a.example/1.jpg", "http://[::1]:1/1.jpg"),
            *(f"{origin}/{name}.jpg" for name in ("private", "elsewhere", "noai", "text", "3")),
        ]
        file = tmp_path / "list.csv"
        file.write_text("\n".join(["url", *urls]))
        added = Added(tmp_path / "data", file)
        outcome = added.update()
    assert (outcome.found, outcome.embedded, outcome.problems) == (len(urls), 1, len(urls) - 1)
    assert outcome.passing == 0
    problems = added.problems()
    assert "must be https, got 'file'" in problems["file:///etc/passwd"]
    for host in ("127.0.0.1", "192.168.1.1"):
        assert "is not a public address" in problems[f"{host}/1.jpg"]
    assert "no user and no port" in problems["user:pass@a.example/1.jpg"]
    assert "its host must be one of" in problems[f"{origin}/private.jpg"]
    assert "its host must be one of" in problems[f"{origin}/elsewhere.jpg"]
    assert "X-Robots-Tag: noai" in problems[f"{origin}/noai.jpg"]
    assert "no image of a format that is taken" in problems[f"{origin}/text.jpg"]
    assert len([*(tmp_path / "data" / "pictures").iterdir()]) == 1


def test_an_update_that_was_killed_downloads_nothing_twice_and_later_ones_what_failed(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    failing = {"/2.jpg"}

    def script(request: Request) -> bytes:
        return reply(500) if request.target in failing else numbered(request)

    with StubServer(script) as server:
        file = tmp_path / "list.csv"
        origin = serve(server)
        file.write_text("\n".join(["url,text", *(f"{origin}/{n}.jpg,say {n}" for n in range(4))]))
        added = Added(tmp_path / "data", file)
        put_files = added.collections.put_files

        def killed(*_: object) -> None:
            raise Unavailable("killed")

        added.collections.put_files = killed  # type: ignore[method-assign,assignment]
        with pytest.raises(Unavailable, match="killed"):
            added.update()
        added.collections.put_files = put_files  # type: ignore[method-assign]
        added.start()
        asked = len(server.requests)
        outcome = added.update()
        assert (outcome.embedded, outcome.problems, outcome.passing) == (3, 1, 1)
        assert {each.target for each in server.requests[asked:]} == failing
        assert "the image host answered 500" in added.problems()[f"{origin}/2.jpg"]
        assert server.busiest <= polite.AT_ONCE
        assert server.requests[0].headers["user-agent"] == "imagesearch/1 (me@example.com)"

        failing.clear()
        asked = len(server.requests)
        file.write_text(file.read_text().replace("say 1", "say one"))
        outcome = added.update()
        assert (outcome.embedded, outcome.reused, outcome.problems) == (1, 1, 0)
        assert outcome.passing == 0
        assert [each.target for each in server.requests[asked:]] == ["/2.jpg"]
        image = added.images()[f"{origin}/1.jpg"]
        assert image.collected is not None
        assert (image.collected.title, image.credit.source) == ("say one", "list.csv")
        assert added.pictures.get(image.object_name) == jpeg(1)


def test_a_host_that_asks_for_a_rest_has_it_and_one_that_is_down_is_left(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    busy = iter([reply(429, Retry_After="7"), reply(503, Retry_After="9")])

    def script(request: Request) -> bytes:
        return next(busy, None) or numbered(request)

    clock = SetClock()
    with StubServer(script) as server:
        origin = serve(server)
        downloads = polite.PoliteDownloads(
            {"127.0.0.1"}, clock, "imagesearch", limits=Limits(), takes=is_image
        )
        assert downloads.get(f"{origin}/1.jpg") == jpeg(1)
    assert clock.elapsed_seconds == 16
    for _ in range(MAX_FAILURES):
        with pytest.raises(Unavailable, match="no connection"):
            downloads.get(f"{origin}/1.jpg")
    with pytest.raises(Unavailable, match="it was not asked for: 5 others of its host failed"):
        downloads.get(f"{origin}/1.jpg")
    downloads.close()


def test_what_was_downloaded_is_needed_while_a_list_has_it(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    with StubServer(numbered) as server:
        origin = serve(server)
        file = tmp_path / "list.csv"
        file.write_text(f"url\n{origin}/1.jpg\n{origin}/2.jpg\n")
        added = Added(tmp_path / "data", file)
        added.update()
        file.write_text(f"url\n{origin}/1.jpg\n")
        added.update()
    originals = SqliteOriginals(added.world.file)
    added.collections.ask("set")
    assert added.store.sweep(originals.unused()) == 0, "an update that goes on may need it"
    added.collections.answer("set", 1)
    assert added.store.sweep(originals.unused()) == 1
    (image,) = added.images().values()
    assert added.pictures.get(image.object_name) == jpeg(1)
    added.collections.forget("set")
    assert added.store.sweep(originals.unused()) == 1


def stored(added: Added) -> set[str]:
    return {each.name for each in (added.data / "pictures").iterdir()}


def test_a_picture_that_is_taken_down_goes_with_what_was_downloaded_and_is_not_asked_for_again(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    with StubServer(numbered) as server:
        urls = [f"{serve(server)}/{number}.jpg" for number in (1, 2)]
        file = tmp_path / "list.csv"
        file.write_text("\n".join(["url,text", *(f"{url},say {url}" for url in urls)]))
        added = Added(tmp_path / "data", file)
        added.update()
        image_id = added.images()[path_of(urls[0])].image_id
        assert stored(added) == {downloaded_name(url) for url in urls}
        job = ForgetJob((image_id,))
        assert added.forget.preview(added.forget.plan(job)).originals == 1
        assert added.forget(job).originals == 1
        assert stored(added) == {downloaded_name(urls[1])}
        asked = len(server.requests)
        file.write_text(file.read_text().replace("say", "tell"))
        assert (added.update().taken_down, added.update().taken_down) == (1, 1)
        assert len(server.requests) == asked
        # Another list does not know that it is that picture before it has it.
        other = Collection("other", str(tmp_path / "other.csv"))
        (tmp_path / "other.csv").write_bytes(file.read_bytes())
        added.collections.keep(other)
        set_of_all, added.collection = added.collection, other
        outcome = added.update()
        assert (outcome.embedded, outcome.reused, outcome.taken_down) == (0, 1, 1)
        assert stored(added) == {downloaded_name(urls[1])}
        assert added.world.cache.get(BYTES, image_id) is None
        added.forget(ForgetJob((image_id,), allows=True))
        added.collection = set_of_all
        added.world.clock.sleep(60)
        assert added.update().embedded == 1
        assert stored(added) == {downloaded_name(url) for url in urls}


def test_what_was_downloaded_goes_with_the_last_list_that_has_it(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    settings = load_settings(data_dir=str(tmp_path / "data"))
    images = tmp_path / "data" / "images"
    with StubServer(numbered) as server, closing(StoredCollections(settings)) as stores:
        urls = [f"{serve(server)}/{number}.jpg" for number in (1, 2)]
        file, other = tmp_path / "list.csv", tmp_path / "other.csv"
        file.write_text("\n".join(["url", *urls]))
        other.write_text(f"url\n{urls[0]}")
        added = Added(tmp_path / "data", file)
        added.store = FolderStore(images)
        added.start()
        added.update()
        second = Collection("other", str(other))
        added.collections.keep(second)
        first, added.collection = added.collection, second
        added.update()
        assert len(list(images.iterdir())) == 2
        assert stores.forget(first) == 1
        assert [each.name for each in images.iterdir()] == [downloaded_name(urls[0])]
        assert stores.forget(second) == 1
        assert list(images.iterdir()) == []


def test_a_list_that_is_away_changes_nothing(
    tmp_path: Path, serve: Callable[[StubServer], str]
) -> None:
    with StubServer(numbered) as server:
        file = tmp_path / "list.csv"
        file.write_text(f"url\n{serve(server)}/1.jpg\n")
        added = Added(tmp_path / "data", file)
        added.update()
        file.unlink()
        with pytest.raises(NotFound, match="there is no list"):
            added.update()
    assert len(added.images()) == 1


# --- captions beside pictures --------------------------------------------------------------------


def test_captions_of_a_folder_are_titles_and_those_without_a_picture_are_counted(
    tmp_path: Path,
) -> None:
    root = tmp_path / "coco"
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    for number in (1, 2):
        (root / "val2017" / f"{number}.jpg").write_bytes(jpeg(number))
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2, 3)]
    annotations = [{"id": n, "image_id": 1 + n % 3, "caption": f"say {n}"} for n in range(9)]
    (root / "annotations" / "captions_val2017.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    added = Added(tmp_path / "data", root)
    outcome = added.update()
    assert (outcome.embedded, outcome.problems) == (2, 0)
    (note,) = outcome.unreadable
    assert (note.path, note.is_note) == ("annotations/captions_val2017.json", True)
    assert "captions whose picture is missing: 3" in note.problem
    image = added.images()["val2017/1.jpg"]
    assert image.collected is not None
    assert (image.collected.title, image.credit.source) == ("say 0", "coco")
    assert added.update().unchanged == 2


def test_captions_of_another_part_are_a_note_and_such_as_fit_nothing_a_problem(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    root = tmp_path / "coco"
    root.mkdir()
    for part, names in (("train", range(10, 14)), ("val", range(2))):
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in names]
        captions = [{"id": n, "image_id": n, "caption": f"say {n}"} for n in names]
        (root / f"captions_{part}2017.json").write_text(
            json.dumps({"images": images, "annotations": captions})
        )
    for n in range(2):
        (root / f"{n}.jpg").write_bytes(jpeg(n))
    train = listed(roots, root)["captions_train2017.json"]
    assert isinstance(train, Unreadable)
    assert train.is_note
    assert "captions whose picture is missing: 4" in train.problem
    (root / "captions_val2017.json").unlink()
    train = listed(roots, root)["captions_train2017.json"]
    assert isinstance(train, Unreadable)
    assert not train.is_note


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.txt", "image,caption\n1.jpg,a hill, green\n1.jpg,a meadow\n"),
        ("Flickr8k.token.txt", "1.jpg#0\ta hill, green\n1.jpg#1\ta meadow\n"),
        (
            "Flickr8k_text/Flickr8k.token.txt",
            "1.jpg#0\ta hill, green\n1.jpg#1\ta meadow\n",
        ),
        (
            "results_20130124.csv",
            "image_name| comment_number| comment\n1.jpg| 0| a hill, green\n1.jpg| 1| a meadow\n",
        ),
        ("dataset_flickr8k.json", None),
        ("1.txt", "a hill, green\na meadow\n"),
    ],
)
def test_each_form_of_captions_gives_all_of_a_picture(
    tmp_path: Path, roots: CollectionRoots, name: str, text: str | None
) -> None:
    sentences = [{"raw": "a hill, green"}, {"raw": "a meadow"}]
    karpathy = {"images": [{"filename": "1.jpg", "split": "val", "sentences": sentences}]}
    root = tmp_path / "flickr"
    root.mkdir()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text or json.dumps(karpathy))
    (root / "1.jpg").write_bytes(jpeg(1))
    (root / "2.jpg").write_bytes(jpeg(2))
    found = listed(roots, root)
    assert found.keys() == {"1.jpg", "2.jpg"}
    assert [each.text for each in facts_of(found["1.jpg"]).captions] == [
        "a hill, green",
        "a meadow",
    ]
    before = stamp_of(ListedFile("1.jpg", found["1.jpg"].stamp))  # type: ignore[union-attr]
    assert stamp_of(found["1.jpg"]) != before  # type: ignore[arg-type]


def test_pictures_of_coco_have_the_licence_and_the_origin_that_its_file_says(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    root = tmp_path / "coco"
    root.mkdir()
    flickr = "http://farm7.staticflickr.com/6116/1_z.jpg"
    coco = "http://images.cocodataset.org/val2017/2.jpg"
    images = [
        {"id": 1, "file_name": "1.jpg", "license": 3, "flickr_url": flickr, "coco_url": coco},
        {"id": 2, "file_name": "2.jpg", "license": 9, "coco_url": coco, "date_captured": "2013-11"},
        {"id": 3, "file_name": "3.jpg", "license": [], "flickr_url": 7},
    ]
    by_nc_nd = "http://creativecommons.org/licenses/by-nc-nd/2.0/"
    licenses = [{"id": 3, "name": "Attribution-NonCommercial-NoDerivs", "url": by_nc_nd}, "broken"]
    annotations = [{"image_id": each["id"], "caption": "a hill"} for each in images]
    said = {"images": images, "annotations": annotations, "licenses": licenses}
    (root / "captions_val2017.json").write_text(json.dumps(said))
    for number in (1, 2, 3):
        (root / f"{number}.jpg").write_bytes(jpeg(number))
    first, second, third = (facts_of(listed(roots, root)[f"{n}.jpg"]) for n in (1, 2, 3))
    licence = (first.licence, first.licence_url)
    assert licence == ("Attribution-NonCommercial-NoDerivs", by_nc_nd.replace("http:", "https:"))
    assert first.page_url == flickr.replace("http:", "https:")
    assert (second.licence, second.page_url) == ("", coco.replace("http:", "https:"))
    assert second.year == 0, "as COCO was collected then"
    assert third == PictureFacts(title="a hill", source="coco", captions=(Caption("a hill"),))


def test_results_that_are_no_captions_are_passed_over(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    (root / "results.csv").write_text("runner,seconds\nAnn,31\n")
    (root / "1.jpg").write_bytes(jpeg(1))
    assert listed(roots, root).keys() == {"1.jpg"}


def test_captions_that_cannot_be_read_cost_no_picture(
    tmp_path: Path, roots: CollectionRoots
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    (root / "captions.json").write_text('{"images": [')
    (root / "captions.txt").write_text("notes of mine")
    (root / "1.jpg").write_bytes(jpeg(1))
    found = listed(roots, root)
    assert isinstance(found["1.jpg"], ListedFile)
    broken = found["captions.json"]
    assert isinstance(broken, Unreadable)
    assert "cannot be read" in broken.problem
    assert found.keys() == {"1.jpg", "captions.json"}


# --- shards --------------------------------------------------------------------------------------


def shard(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_shards_are_searched_and_a_broken_one_costs_what_comes_after_its_break(
    tmp_path: Path,
) -> None:
    root = tmp_path / "shards"
    said = {"url": "https://a.example/1.jpg", "caption": "from json", "license": "CC0"}
    shard(
        root / "00000.tar",
        {
            "000.jpg": jpeg(1),
            "000.json": json.dumps(said).encode(),
            "001.jpg": jpeg(2),
            "001.txt": b"one\ntwo\n",
            "001.de.txt": b"eins",
            "002.jpg": b"no picture",
            "003.jpg": jpeg(3),
            "003.json": b"{",
            "004.txt": b"without a picture",
        },
    )
    shard(root / "00001.tar", {f"{n}.jpg": jpeg(n) for n in (10, 11, 12)})
    (root / "00000.parquet").write_bytes(b"")
    added = Added(tmp_path / "data", root)
    outcome = added.update()
    assert (outcome.embedded, outcome.problems) == (6, 2)
    assert [each.path for each in outcome.unreadable] == ["00000.tar/003"]
    assert [*added.problems()] == ["00000.tar/002"]
    images = added.images()
    first = images["00000.tar/000"]
    assert first.collected is not None
    assert (first.collected.title, first.credit.licence) == ("from json", "CC0")
    assert (first.page_url, first.credit.source) == ("https://a.example/1.jpg", "shards")
    assert added.pictures.get(first.object_name) == jpeg(1)

    data = (root / "00001.tar").read_bytes()
    (root / "00001.tar").write_bytes(data[: data.index(jpeg(11)) + 70])
    outcome = added.update()
    assert [each.path for each in outcome.unreadable][-1] == "00001.tar"
    assert outcome.gone == 0
    assert added.images().keys() >= {"00001.tar/10", "00001.tar/12"}


def test_shards_in_folders_are_found_and_a_compressed_one_is_said(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    for split, first in (("train", 1), ("val", 3)):
        (root / split).mkdir(parents=True)
        members = {f"{n}.jpg": jpeg(n) for n in (first, first + 1)}
        shard(root / split / "0.tar", members | {f"in/{first}.jpg": jpeg(first + 9)})
    shard(root / "val" / "3.tar", {"caf\udce9.jpg": jpeg(20)})  # a byte of Latin 1
    (root / "val" / "0.json").write_text("{}")
    (root / "val" / "1.tar.gz").write_bytes(gzip.compress((root / "val" / "0.tar").read_bytes()))
    (root / "val" / "2.tar").write_bytes(gzip.compress((root / "val" / "0.tar").read_bytes()))
    (root / ".cache").mkdir()
    (root / ".cache" / "x.bin").write_bytes(b"")
    assert is_shards(root)
    added = Added(tmp_path, root)
    outcome = added.update()
    assert (outcome.found, outcome.embedded) == (6, 6)
    assert added.images().keys() == {
        *("train/0.tar/1", "train/0.tar/2", "train/0.tar/in/1"),
        *("val/0.tar/3", "val/0.tar/4", "val/0.tar/in/3"),
    }
    told = {each.path: each.problem for each in outcome.unreadable}
    assert told.pop("val/3.tar/caf?") == "its name is no UTF-8"
    assert told.keys() == {"val/1.tar.gz", "val/2.tar"}
    assert all("decompress it to a .tar" in problem for problem in told.values())


def test_a_folder_with_an_archive_among_its_pictures_is_no_set_of_shards(tmp_path: Path) -> None:
    shard(tmp_path / "backup.tar", {"1.jpg": jpeg(1)})
    assert is_shards(tmp_path)
    assert is_shards(tmp_path / "backup.tar")
    (tmp_path / "2019").mkdir()
    (tmp_path / "2019" / "1.jpg").write_bytes(jpeg(1))
    assert not is_shards(tmp_path)


# --- measured ------------------------------------------------------------------------------------


def test_a_collection_is_measured_by_its_captions_without_embedding_it_again(
    tmp_path: Path,
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.jpg").write_bytes(jpeg(number))
    (root / "copy.jpg").write_bytes(jpeg(0))
    (root / "captions.csv").write_text(
        "image,caption,language\n0.jpg,a hill,en\n0.jpg,ein Hügel,de\ncopy.jpg,the same hill,en\n"
        "1.jpg,a lake,en\n2.jpg," + "x" * 3_000 + ",en\n"
    )
    added = Added(tmp_path / "data", root)
    added.update()
    library, encoder = added.world.catalog.library, added.world.encoder
    captioned = captioned_collection(added.collections, library, added.pictures, "set")
    captions = {
        each.name: [(c.text, c.language) for c in each.captions] for each in captioned.pictures
    }
    assert captions == {
        "0.jpg": [("a hill", "en"), ("ein Hügel", "de"), ("the same hill", "en")],
        "1.jpg": [("a lake", "en")],
    }
    assert {misfit.what: misfit.count for misfit in captioned.misfits} == {NO_CAPTION: 2}
    embedded_before = encoder.images
    of_set = embed_set(encoder, captioned, lambda *_: None, is_taken_apart=False)
    assert encoder.images == embedded_before
    assert len(of_set.pictures) == 2
    with pytest.raises(InvalidRequest, match="no picture of 'none' has a caption"):
        captioned_collection(added.collections, library, added.pictures, "none")


def test_a_picture_that_is_taken_down_is_not_measured(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    for number in range(2):
        (root / f"{number}.jpg").write_bytes(jpeg(number))
    (root / "captions.csv").write_text("image,caption\n0.jpg,a hill\n1.jpg,a lake\n")
    added = Added(tmp_path / "data", root)
    added.update()
    world, image_id = added.world, added.images()["0.jpg"].image_id
    settings = load_settings(data_dir=str(tmp_path / "data"))
    for collections in (None, added.collections):  # as of an earlier version, and as of this one
        forget = Forget(world.catalog, world.store, world.cache, world.clock, collections)
        forget(ForgetJob((image_id,)))
        with closing(StoredCollections(settings)) as stored:
            captioned = stored.captioned(added.collection)
        assert [each.name for each in captioned.pictures] == ["1.jpg"]
