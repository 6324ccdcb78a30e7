"""What every open source has: how it is made, downloads and closes. How it is asked differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagesearch.domain.images import ListedImage
from imagesearch.sources.api_key import ApiKey
from imagesearch.sources.contact import user_agent
from imagesearch.sources.declaration import Declaration, Tools
from imagesearch.sources.pixabay_hits import HitReader

if TYPE_CHECKING:
    from imagesearch.sources.open_listing import OpenListing


class OpenSource:
    """
    A source of images without an account; for many threads at once.

    Args:
        declaration: whose quotas, hosts and credit it has.
        reader: makes images of what is answered.
        contact: at which whoever asks can be reached, or "".
        api_url: where the API is.
        origin: an origin on loopback that stands in for the hosts of images, for tests.
    """

    def __init__(
        self,
        declaration: Declaration,
        reader: type[HitReader],
        contact: str,
        tools: Tools,
        *,
        api_url: str,
        origin: str | None,
    ) -> None:
        from imagesearch.sources.open_listing import OpenListing

        agent = user_agent(contact)
        self._listing: OpenListing = OpenListing(
            declaration, tools, api_url=api_url, user_agent=agent, origin=origin
        )
        check = self._listing.downloader.check
        self._reader = reader(declaration.name, declaration.credit, ApiKey(""), check)

    def close(self) -> None:
        """Close the connections to the listing and to the images."""
        self._listing.close()

    def download(self, image: ListedImage) -> bytes:
        """Return the bytes of *image*: see the port."""
        return self._listing.download(image)
