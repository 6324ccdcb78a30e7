"""How a person who uses an open source can be reached: its hosts ask for it in the User-Agent."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imagesearch.setting_types import http_url

MAX_CONTACT_CHARACTERS = 200  # Wikimedia ignores a User-Agent of more than 512
_EMAIL = re.compile(r"[!-'*-?A-Z^-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")  # no brackets, no blanks


def _contact(text: str) -> str:
    bound = (
        f"must be an e-mail address or an http:// or https:// URL, "
        f"of at most {MAX_CONTACT_CHARACTERS} characters"
    )
    if len(text) > MAX_CONTACT_CHARACTERS or re.search(r"[()]", text):
        raise ValueError(bound)
    if _EMAIL.fullmatch(text):
        return text
    try:
        return http_url(text)
    except ValueError:
        raise ValueError(bound) from None


class ContactSettings(BaseModel):
    """Who asks."""

    model_config = ConfigDict(defer_build=True)  # it is a part of `AllSettings`, and built there

    source_contact: Annotated[str, AfterValidator(_contact)] = Field(
        "",
        description="Your e-mail address or site, sent with each request to Wikimedia Commons, "
        "Openverse and the hosts of lists of URLs; `SOURCE=commons` needs it.",
    )


def user_agent(contact: str) -> str:
    """Return what this program calls itself, in the form that Wikimedia asks for."""
    try:
        program = f"imagesearch/{version('imagesearch')}"
    except PackageNotFoundError:  # a function's zip
        program = "imagesearch"
    return f"{program} ({contact}) urllib3" if contact else program
