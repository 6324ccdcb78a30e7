"""The adapters that every process of the cloud edition has, on Google Cloud or its emulators.

None of them connects before it is used, nor imports an SDK: a start waits for nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from imagesearch.adapters import firestore
from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.libraries.firestore import FirestoreLibrary
from imagesearch.adapters.pools.firestore import FirestorePools
from imagesearch.adapters.retention.firestore import FirestoreRetention
from imagesearch.compose.start import require
from imagesearch.domain.errors import InvalidRequest
from imagesearch.installation import is_installed, pip_install
from imagesearch.ports import Cache, Library, RateLimiter
from imagesearch.settings import Settings
from imagesearch.usecases.pools import Catalog


def check_sdk() -> None:
    """Raise InvalidRequest with the command where Google's packages are not installed."""
    if not is_installed("google.cloud.firestore"):
        command = pip_install("imagesearch[cloud]")
        raise InvalidRequest(f"EDITION=cloud needs: {command}", field="EDITION")


def database_of(settings: Settings) -> Firestore:
    """
    Return the Firestore that the settings name.

    Raises:
        InvalidRequest: its package is not installed.
    """
    check_sdk()
    name = settings.firestore_database
    return firestore.connect(settings.google_cloud_project, database=name)


def catalog_of(settings: Settings, database: Firestore | None = None) -> Catalog:
    """
    Return the catalog in Firestore, or its pools there and its library in PostgreSQL.

    Args:
        database: what is Firestore's connection, where others share it; the catalog closes it.

    Raises:
        InvalidRequest: the library is none of this edition, or lacks a setting or a package.
    """
    database = database or database_of(settings)
    library = library_of(settings, "firestore", lambda: FirestoreLibrary(database))
    pools, retention = FirestorePools(database, settings.policy), FirestoreRetention(database)
    return Catalog(pools, library, settings.policy, retention)


def library_of(settings: Settings, own: str, make_own: Callable[[], Library]) -> Library:
    """
    Return the library that the settings name, or the edition's *own*.

    Raises:
        InvalidRequest: it is the other edition's, or lacks a setting or its package.
    """
    if settings.library in ("", own):
        return make_own()
    if settings.library != "postgres":
        bound = f"LIBRARY must be {own} or postgres with EDITION={settings.edition}"
        raise InvalidRequest(f"{bound}, got {settings.library!r}", field="LIBRARY")
    require(settings, "database_url")
    # Here: the others need neither the driver nor what the library computes with.
    from imagesearch.adapters.libraries.postgres import PostgresLibrary
    from imagesearch.adapters.postgres import Postgres

    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return PostgresLibrary(Postgres(url))


def cache_of(settings: Settings) -> tuple[Cache, RateLimiter]:
    """
    Return what all processes share in Memorystore, or this process's own where there is none.

    Raises:
        InvalidRequest: its certificates are none.
    """
    # Each is imported where it is made: a cold start need not wait for the other.
    if not settings.redis_host:
        from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter

        return InProcessCache(), InProcessLimiter()
    from imagesearch.adapters.caches.memorystore import Memorystore, connect

    auth_string = settings.redis_auth_string
    client = connect(
        settings.redis_host,
        settings.redis_port,
        auth_string=auth_string.get_secret_value() if auth_string else None,
        server_ca=settings.redis_server_ca or None,
    )
    memorystore = Memorystore(client)
    return memorystore, memorystore
