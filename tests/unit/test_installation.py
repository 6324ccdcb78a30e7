"""Where a user's data goes; the wheel itself is tried in tests/e2e/test_wheel.py."""

from __future__ import annotations

import pytest

from imagesearch.installation import IS_CHECKOUT, ROOT, default_data_dir, user_data_dir


def test_a_checkout_keeps_its_data_where_it_is_run() -> None:
    assert IS_CHECKOUT
    assert (ROOT / "pyproject.toml").is_file()
    assert default_data_dir() == ".data"


@pytest.mark.parametrize(
    ("platform", "xdg_data_home", "folder"),
    [
        ("linux", None, "~/.local/share/imagesearch"),
        ("linux", "", "~/.local/share/imagesearch"),
        ("linux", "/data/me", "/data/me/imagesearch"),
        ("linux", "relative", "~/.local/share/imagesearch"),
        ("darwin", None, "~/Library/Application Support/imagesearch"),
        ("darwin", "/data/me", "/data/me/imagesearch"),
    ],
)
def test_an_installed_program_keeps_its_data_with_the_user(
    platform: str, xdg_data_home: str | None, folder: str
) -> None:
    assert user_data_dir(platform, xdg_data_home) == folder
