"""Catalogs without settings, for tests and benchmarks; `compose/` and `local/` make the others."""

from __future__ import annotations

from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.libraries.firestore import FirestoreLibrary
from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.pools.firestore import FirestorePools
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.retention.firestore import FirestoreRetention
from imagesearch.adapters.retention.sqlite import SqliteRetention
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.pools import PoolPolicy
from imagesearch.usecases.pools import Catalog


def sqlite_catalog(file: SqliteFile, policy: PoolPolicy) -> Catalog:
    """Return the catalog in *file*, which it closes."""
    return Catalog(SqlitePools(file), SqliteLibrary(file), policy, SqliteRetention(file))


def firestore_catalog(database: Firestore, policy: PoolPolicy) -> Catalog:
    """Return the catalog in *database*, which it closes."""
    pools, library = FirestorePools(database, policy), FirestoreLibrary(database)
    return Catalog(pools, library, policy, FirestoreRetention(database))
