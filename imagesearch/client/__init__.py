"""
The client of the search API, for the command line and for programs of others.

    from imagesearch.client import AsyncClient, Client

    for hit in Client("https://pictures.example").search(s_query="two horses amidst flowers"):
        print(hit.match, hit.url)

`api.py` has what is asked and answered, `searching.py` what is decided between a question and its
answer, by no clock or network of its own, `http.py` the network, and `clients.py` both together.
"""

from imagesearch.client.api import Answer as Answer
from imagesearch.client.api import Collection as Collection
from imagesearch.client.api import Fetching as Fetching
from imagesearch.client.api import Hit as Hit
from imagesearch.client.api import Pool as Pool
from imagesearch.client.api import Search as Search
from imagesearch.client.clients import AsyncClient as AsyncClient
from imagesearch.client.clients import Client as Client
from imagesearch.client.errors import SearchFailed as SearchFailed
from imagesearch.client.errors import Unreached as Unreached
