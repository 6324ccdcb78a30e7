"""`imagesearch forget` in the cloud edition; on one machine: `test_forget.py`."""

from __future__ import annotations

import io
from collections.abc import Callable

import requests
from PIL import Image

from tests.e2e.cloud_counts import FaultyCloud, image_ids
from tests.e2e.test_forget import wait_until


def test_in_the_cloud_a_picture_is_taken_down_by_a_message_within_a_minute(
    faulty: FaultyCloud, typed: Callable[..., str]
) -> None:
    keyword, url = "penguin", faulty.stack.query_url
    with faulty.pools_of(6, PRIVATE_IMAGES="True", IMAGE_BASE_URL=""):
        before = faulty.complete(keyword)
        gone = before["results"][0]
        assert gone["url"].startswith(f"{url}/images/"), (
            "served by the function, of a closed bucket"
        )
        shown = requests.get(gone["url"], timeout=10)
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")
        with Image.open(io.BytesIO(shown.content)) as opened:
            assert opened.size == (gone["width"], gone["height"])
        told = typed("forget", gone["image_id"])
        assert told.startswith("0: "), told
        assert "handed over to the fetch function" in told
        wait_until(lambda: gone["image_id"] not in image_ids(faulty.complete(keyword)))
        assert requests.get(gone["url"], timeout=10).status_code == 404
        after = faulty.complete(keyword)
        assert set(image_ids(after)) == set(image_ids(before)) - {gone["image_id"]}
        assert after["pool"]["generation"] > before["pool"]["generation"]
