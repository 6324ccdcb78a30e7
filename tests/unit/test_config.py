"""Settings name themselves when they are bad, and the README's table is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagesearch.config import DEFAULT_MODEL, DEMO_MODEL, Settings, load_settings
from imagesearch.errors import InvalidRequest


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
        ("KEYWORD_LANGUAGE", "xx", "must be one of"),
        ("ORIENTATION", "diagonal", "'all', 'horizontal' or 'vertical'"),
        ("LEASE_SECONDS", "0", "greater than 0"),
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
    ],
)
def test_images_are_where_the_edition_keeps_them(given: dict[str, str], url: str) -> None:
    assert load_settings(**given).images_url("http://host/") == url


def test_a_bad_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(redis_auth_string=["hunter2"])
    assert "REDIS_AUTH_STRING" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_origins_are_a_comma_list() -> None:
    settings = load_settings(allowed_origins="https://a.example, https://b.example,")
    assert settings.origins == {"https://a.example", "https://b.example"}


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_readme_table_is_the_settings() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    for row in settings_table():
        assert row in readme, f"put this row into the README: {row}"


def settings_table() -> list[str]:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        text = str(default).lower() if isinstance(default, bool) else str(default)
        shown = "" if default in (None, "") else f"`{text}`"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return rows
