"""The composition root builds each thing once."""

from __future__ import annotations

import threading
from pathlib import Path

from imagesearch.bootstrap import Services, shared
from imagesearch.config import load_settings
from tests.world import TwinEncoder


def test_fifty_threads_that_come_first_share_every_adapter(tmp_path: Path) -> None:
    """With one cache each, quotas would not hold and waiters would not see their pool."""
    services = Services(
        load_settings(data_dir=tmp_path), encoder=TwinEncoder(), gallery_url="http://127.0.0.1:9"
    )
    services.bus.subscribe("fetch-jobs", lambda _: 204)
    barrier = threading.Barrier(50)
    seen: list[object] = []

    def use() -> None:
        barrier.wait()
        seen.append(services.search.cache)

    threads = [threading.Thread(target=use) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(cache) for cache in seen}) == 1
    assert services.fetch.cache is services.search.cache is services.embed.cache
    services.close()


def test_a_shared_value_is_built_once_however_slow_it_is() -> None:
    built: list[int] = []
    gate = threading.Barrier(8)

    class Owner:
        @shared
        def value(self) -> int:
            threading.Event().wait(0.02)
            built.append(1)
            return len(built)

    owner = Owner()
    values: list[int] = []

    def use() -> None:
        gate.wait()
        values.append(owner.value)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [1] * 8
