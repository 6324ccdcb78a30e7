"""What schemathesis is told beside the document: what a schema cannot say, and what there is."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, HookContext

from imagesearch.domain.keywords import is_visible

READY_KEYWORD = "circle"  # its pool is ready before the run, see `test_schemathesis.py`


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Leave out what the document forbids in words alone, where the case claims to be valid."""
    if case.meta is None or not case.meta.generation.mode.is_positive or not case.query:
        return True
    query = case.query
    if query.get("scope", "pool") == "pool" and not query.get("t"):
        return False
    return all(is_visible(str(query[name])) for name in ("t", "s_query") if query.get(name))


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """Ask for what is there more often than for what is not, which is fetched first."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    if case.query and len(str(case.query.get("t", ""))) > 1:
        case.query["t"] = READY_KEYWORD
    return case
