"""docs/data.md beside what Terraform makes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tests.terraform import TERRAFORM

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def test_the_page_has_for_other_sinks_the_filter_that_keeps_searches_from_the_project_s() -> None:
    text = (TERRAFORM / "request_log.tf").read_text()
    excluded = dedent(text.partition("<<-FILTER\n")[2].partition("  FILTER\n")[0])
    shown = excluded.replace("${local.name}", "imagesearch")
    assert shown.count("imagesearch") == 3
    assert f"```\n{shown}```\n" in PAGE.read_text()
