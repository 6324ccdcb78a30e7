"""Settings name themselves when they are bad, and the README's table is made from them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from imagesearch.adapters.caches.in_process import InProcessLimiter
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.settings import DEFAULT_MODEL, DEMO_MODEL, AllSettings, load_settings
from imagesearch.sources.pixabay import PixabaySettings
from tools.catalogs import sqlite_catalog


def test_without_a_key_the_demo_runs() -> None:
    settings = load_settings()
    assert settings.is_demo
    assert settings.model == str(DEMO_MODEL)
    assert settings.source_options.source == "demo"


def test_with_a_key_pixabay_and_the_full_model_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", "secret-key")
    settings = load_settings()
    assert not settings.is_demo
    assert settings.model == DEFAULT_MODEL
    assert "secret-key" not in repr(settings)
    assert "secret-key" not in str(settings.model_dump())


def test_a_source_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", "secret-key")
    demo = load_settings(source=" Demo ")
    assert demo.is_demo
    assert (demo.model, demo.source_options.source) == (str(DEMO_MODEL), "demo")
    assert demo.source_secrets == {}
    cloud = {"edition": "cloud", "gallery_url": "http://127.0.0.1:9"}
    pixabay = load_settings(source="pixabay", **cloud)
    assert (pixabay.is_demo, pixabay.source_options.source) == (False, "pixabay")
    assert pixabay.source_secrets == {"PIXABAY_API_KEY": "secret-key"}


def test_the_source_says_how_old_a_pool_may_be_if_nobody_else_does() -> None:
    assert load_settings().policy.max_age_seconds == 86_400
    assert load_settings(pool_max_age_seconds=60).policy.max_age_seconds == 60


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", "")
    monkeypatch.setenv("PORT", "")
    assert load_settings().is_demo
    assert load_settings().port == 8080


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("PORT", "80800", "less than or equal to 65535"),
        ("PORT", "eighty", "valid integer"),
        ("POOL_SIZE", "2", "greater than or equal to 3"),
        ("POOL_SIZE", "501", "less than or equal to 500"),
        ("SAFESEARCH", "perhaps", "valid boolean"),
        ("SOURCE", "elsewhere", "must be one of commons demo openverse pixabay"),
        ("KEYWORD_LANGUAGE", "xx", "must be one of"),
        ("ORIENTATION", "diagonal", "'all', 'horizontal' or 'vertical'"),
        ("LEASE_SECONDS", "0.9", "greater than or equal to 1"),
        ("RETRY_SECONDS", "1e-9", "greater than or equal to 1"),
        ("POOL_MAX_AGE_SECONDS", "0.001", "greater than or equal to 1"),
        ("MAX_IMAGE_BYTES", "99999", "greater than or equal to 100000"),
        ("LEASE_SECONDS", "86401", "less than or equal to 86400"),
        ("RETRY_SECONDS", "inf", "finite number"),
        ("POOL_MAX_AGE_SECONDS", "nan", "finite number"),
        ("POOL_MAX_AGE_SECONDS", "1e12", "less than or equal to 31622400"),
        ("RATE_LIMIT_PER_MINUTE", "100000000", "less than or equal to 1000000"),
        ("MAX_IMAGE_BYTES", "1" + "0" * 30, "less than or equal to 1000000000"),
        ("PORT", "８０８０", "valid integer"),
        ("EDITION", "clowd", "'embedded' or 'cloud'"),
        ("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("IMAGE_CATEGORY", "animal", "one of backgrounds"),
        ("IMAGE_COLORS", "red;blue", "one of grayscale"),
        ("BIND_ADDRESS", "127.0.0.1:8080", "an IP address or a host's name"),
        ("BIND_ADDRESS", "256.0.0.1", "an IP address or a host's name"),
        ("REDIS_HOST", "redis://10.8.0.3", "an IP address or a host's name"),
        ("ALLOWED_ORIGINS", "app.example", "origins such as https://example.com"),
        ("ALLOWED_ORIGINS", "https://app.example/page", "without a path"),
        ("ALLOWED_ORIGINS", "https://*.example", "origins such as https://example.com"),
        ("ALLOWED_ORIGINS", "https://bücher.example", "origins such as https://example.com"),
        ("ALLOWED_ORIGINS", "http://[fe80::1%eth0]", "origins such as https://example.com"),
        ("ALLOWED_ORIGINS", "*, https://app.example", "must stand alone"),
        ("IMAGE_BASE_URL", "ftp://cdn.example", "http:// or https:// URL"),
        ("SCORER_URL", "https://scorer.example/?x=1", "without a user, a query"),
        ("EMBEDDER_URL", "https://embedder.example:x", "http:// or https:// URL"),
        ("GALLERY_URL", "127.0.0.1:9", "http:// or https:// URL"),
        ("GOOGLE_CLOUD_PROJECT", "My Project", "a project id"),
        ("IMAGES_BUCKET", "gs://images", "without gs://"),
        ("FIRESTORE_DATABASE", "default)", "(default), or 4 to 63"),
        ("TOPIC_PREFIX", "imagesearch-dev", "and a hyphen"),
        ("DATA_DIR", "~nobody-of-that-name/data", "a home folder that there is"),
        ("DATA_DIR", '"/srv/data"', "without quotes"),
        ("DATA_DIR", "\u201c/srv/data\u201d", "without quotes"),
        ("DATA_DIR", "file:///srv/data", "no URL"),
        ("DATA_DIR", "gs://images/data", "no URL"),
        ("DATA_DIR", "$HOME/data", "variables such as $HOME"),
        ("CLIP_MODEL", "/srv/${MODEL}", "variables such as $HOME"),
        ("CLIP_MODEL", "https://huggingface.co/laion/CLIP", "no URL"),
    ],
)
def test_a_bad_setting_names_itself_its_bound_and_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, bound: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequest) as caught:
        load_settings()
    for part in (name, bound, value):
        assert part in str(caught.value)


AS_MEANT = [
    ("EDITION", "Cloud", "edition", "cloud"),
    ("LOG_LEVEL", "info", "log_level", "INFO"),
    ("ORIENTATION", "Horizontal", "orientation", "horizontal"),
    ("KEYWORD_LANGUAGE", "DE", "keyword_language", "de"),
    ("IMAGE_CATEGORY", "Animals", "image_category", "animals"),
    ("IMAGE_COLORS", "Red, blue ,", "image_colors", "red,blue"),
    ("SAFESEARCH", "FALSE", "safesearch", False),
    ("PORT", " 8081\r", "port", 8081),
    ("POOL_MAX_AGE_SECONDS", "3600 ", "pool_max_age_seconds", 3600.0),
    ("BIND_ADDRESS", "[::1]", "bind_address", "::1"),
    ("REDIS_HOST", " cache.example ", "redis_host", "cache.example"),
    ("ALLOWED_ORIGINS", "*", "origins", {"*"}),
    ("ALLOWED_ORIGINS", "HTTPS://App.Example:443/", "origins", {"https://app.example"}),
    ("ALLOWED_ORIGINS", "http://[::1]:3000", "origins", {"http://[::1]:3000"}),
    ("ALLOWED_ORIGINS", "https://[2001:DB8:0::0:1]:443", "origins", {"https://[2001:db8::1]"}),
    ("ALLOWED_ORIGINS", "http://[::ffff:10.0.0.1]", "origins", {"http://[::ffff:a00:1]"}),
    ("SCORER_URL", "HTTPS://Scorer.run.app/", "scorer_url", "https://scorer.run.app"),
    (
        "IMAGE_BASE_URL",
        "https://cdn.example/Images/",
        "image_base_url",
        "https://cdn.example/Images",
    ),
    ("GOOGLE_CLOUD_PROJECT", "example.com:my-project", "google_cloud_project", None),
    ("DATA_DIR", "~/pictures", "data_dir", Path.home() / "pictures"),
    ("CLIP_MODEL", "~/clip", "clip_model", str(Path.home() / "clip")),
    ("CLIP_MODEL", "Laion/CLIP-ViT", "clip_model", "Laion/CLIP-ViT"),
]


@pytest.mark.parametrize(("name", "typed", "read", "meant"), AS_MEANT)
def test_what_can_be_meant_in_one_way_only_is_read_so(
    monkeypatch: pytest.MonkeyPatch, name: str, typed: str, read: str, meant: object
) -> None:
    monkeypatch.setenv(name, typed)
    assert getattr(load_settings(), read) == (typed if meant is None else meant)
    monkeypatch.delenv(name)
    given = getattr(load_settings(**{name.lower(): typed}), read)
    assert given == (typed if meant is None else meant), "as an option, too"


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t", "\u200b", "\ufeff", "\u00a0"])
def test_what_was_pasted_along_with_a_key_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    for name in ("PIXABAY_API_KEY", "REDIS_AUTH_STRING"):
        monkeypatch.setenv(name, f"{around}123-abc{around}")
    settings = load_settings()
    assert isinstance(settings, PixabaySettings)
    assert settings.pixabay_api_key == settings.redis_auth_string == SecretStr("123-abc")
    monkeypatch.setenv("PIXABAY_API_KEY", around)
    assert load_settings().is_demo, "nothing but blanks is not set"


@pytest.mark.parametrize("key", ["12 34", '"123-abc"', "123\nabc", "ключ", "a%0Ab", "1&q=x"])
def test_a_key_that_is_none_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(pixabay_api_key=key)
    assert str(caught.value) == (
        "PIXABAY_API_KEY: must be letters, digits, - and _ alone, with no quotes"
    )


@pytest.mark.parametrize("odd", ["a\udcff", "\x1b[200~a", "a\x9b", "\x1ca", "fe80::1%\udc80"])
def test_what_nobody_types_is_no_part_of_a_setting_and_not_trimmed_either(odd: str) -> None:
    for name in AllSettings.model_fields:
        told = explained(name, odd) or ""
        bound = "be UTF-8" if max(odd) >= "\udc80" else "have no control character in it"
        assert told.startswith(f"{name.upper()}: must {bound}")


@pytest.mark.parametrize("name", ["REDIS_SERVER_CA", "SCORER_URL", "ALLOWED_ORIGINS"])
def test_a_secret_in_the_wrong_place_is_not_repeated_either(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(**{name.lower(): "https://someone:hunter2@host.example"})
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_authorities_in_pem_are_read() -> None:
    authority = trustme.CA().cert_pem.bytes().decode()
    assert load_settings(redis_server_ca=f"\n{authority}\n").redis_server_ca == authority.strip()


def test_every_bad_setting_is_explained_on_a_line_of_its_own() -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(port="-1", pool_size="many", data_dir="a\nb")
    assert caught.value.field == "PORT"
    assert [line.split(":")[0] for line in str(caught.value).split("\n")] == [
        "PORT",
        "DATA_DIR",
        "POOL_SIZE",
    ]


NASTY = "\x1b[31m", "a\x00b", "\u202egnp", "\udc80", "'", "~", "%0A", "[", "http://[", "9" * 5000


def explained(name: str, value: str) -> str | None:
    try:
        load_settings(**{name: value})
    except InvalidRequest as error:
        return str(error)
    return None


@pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
def test_any_text_is_a_setting_or_refused_in_printable_words(value: str) -> None:
    for name in AllSettings.model_fields:
        refused = explained(name, value)
        if refused is not None:
            assert refused.startswith(f"{name.upper()}: ")
            assert refused.isprintable()
            assert len(refused) < 600


LARGEST = {
    "pool_max_age_seconds": 366 * 86_400,
    "lease_seconds": 86_400,
    "retry_seconds": 86_400,
    "rate_limit_per_minute": 1_000_000,
}


def test_the_largest_durations_and_rates_are_worked_with(tmp_path: Path) -> None:
    """Python's dates and Redis' integers end somewhere."""
    settings = load_settings(**LARGEST)
    now = datetime.now(UTC)
    with closing(
        sqlite_catalog(SqliteFile(tmp_path / "catalog.sqlite"), settings.policy)
    ) as catalog:
        pool = catalog.request_pool(PoolKey.of("horse", settings.source_options), now).pool
        catalog.fail(pool.pool_id, pool.current.number, "why", now)
        failed = catalog.pool(pool.pool_id)
    assert failed is not None
    assert failed.due_generation(now, settings.policy) is None
    limit = settings.rate_limit_per_minute
    limiter = InProcessLimiter()
    assert limiter.take_token("rate:x", limit=limit, period_seconds=60) == 0.0


@pytest.mark.parametrize("colors", ["blue,red", "red,red", "grayscale"])
def test_what_was_valid_names_the_same_pools_as_ever(colors: str) -> None:
    options = load_settings(image_colors=colors).source_options
    assert PoolKey.of("horse", options) == PoolKey.of(
        "horse", SourceOptions(source="demo", colors=colors)
    )


def test_in_the_cloud_only_a_gallery_makes_it_the_demo() -> None:
    """The query function holds no key of Pixabay, and yet asks for Pixabay's pools."""
    assert load_settings(edition="cloud").source_options.source == "pixabay"
    assert load_settings(edition="cloud").model == DEFAULT_MODEL
    demo = load_settings(edition="cloud", gallery_url="http://127.0.0.1:9")
    assert demo.source_options.source == "demo"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://host/images"),
        ({"edition": "cloud", "images_bucket": "b"}, "https://storage.googleapis.com/b"),
        ({"edition": "cloud", "image_base_url": "https://cdn.example/"}, "https://cdn.example"),
        ({"edition": "cloud", "images_bucket": "b", "private_images": True}, "http://host/images"),
    ],
)
def test_images_are_where_the_edition_keeps_them(given: dict[str, object], url: str) -> None:
    assert load_settings(**given).images_url("http://host/") == url


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@host/x", "hunter2", "postgresql://u:hunter2 @host/x"]
)
def test_the_url_of_a_database_is_a_secret_too(url: str) -> None:
    with pytest.raises(InvalidRequest, match="DATABASE_URL: must be postgresql://") as caught:
        load_settings(database_url=url)
    assert "hunter2" not in str(caught.value)
    settings = load_settings(database_url="postgres://u:hunter2@host/x")
    assert settings.database_url is not None
    assert "hunter2" not in repr(settings) + str(settings.model_dump())


def test_a_bad_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(redis_auth_string=["hunter2"])
    assert "REDIS_AUTH_STRING" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_origins_are_a_comma_list() -> None:
    settings = load_settings(allowed_origins="https://a.example, https://b.example,")
    assert settings.origins == {"https://a.example", "https://b.example"}


def test_every_setting_is_described() -> None:
    assert all(field.description for field in AllSettings.model_fields.values())


def test_the_readme_table_is_the_settings() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    for row in settings_table():
        assert row in readme, f"put this row into the README: {row}"


def settings_table() -> list[str]:
    rows = []
    for name, field in AllSettings.model_fields.items():
        default = field.default
        text = str(default).lower() if isinstance(default, bool) else str(default)
        shown = "" if default in (None, "") else f"`{text}`"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return rows
