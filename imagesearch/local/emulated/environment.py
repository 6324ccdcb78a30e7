"""What children are told of this process's environment, and what this process is told of theirs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

_HERE = ("127.0.0.1", "localhost")


def passed_on(environment: Mapping[str, str], without: Collection[str]) -> dict[str, str]:
    """Return *environment* without the names of *without*, in whatever case, and `reached_here`."""
    return reached_here(
        {name: value for name, value in environment.items() if name.upper() not in without}
    )


def reached_here(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* with this machine reached directly, whatever proxy it names."""
    known = environment.get("no_proxy") or environment.get("NO_PROXY")
    direct = ",".join([*([known] if known else []), *_HERE])
    return {**environment, "no_proxy": direct, "NO_PROXY": direct}


@contextmanager
def environment_of(values: Mapping[str, str]) -> Iterator[None]:
    """Have *values* in this process's environment, where Google's clients look."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
