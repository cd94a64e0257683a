"""The lists that an S3 store gives of a bucket, page by page."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from triage.spool.cluster.bucket import ListedKey
from triage.spool.cluster.s3_client import S3Client
from triage.spool.cluster.s3_signature import S3Request

_LIST = {"list-type": "2", "encoding-type": "url"}


def listed(client: S3Client, prefix: str, after: str = "") -> Iterator[ListedKey]:
    """Yield the objects whose keys begin with ``prefix``, those behind ``after``. Raises OSError."""
    query = {**_LIST, "prefix": prefix, **({"start-after": after} if after else {})}
    for page in pages(client, query, {"continuation-token": "NextContinuationToken"}):
        for each in page.iterfind("{*}Contents"):
            yield _listed_key(client, each)


def folders(client: S3Client, prefix: str) -> Iterator[str]:
    """Yield the beginnings of keys below ``prefix`` up to the next slash, with it. Raises OSError."""
    query = {**_LIST, "prefix": prefix, "delimiter": "/"}
    for page in pages(client, query, {"continuation-token": "NextContinuationToken"}):
        yield from (unquote(each.text or "") for each in page.iterfind("{*}CommonPrefixes/{*}Prefix"))


def pages(client: S3Client, query: Mapping[str, str], more: Mapping[str, str]) -> Iterator[ElementTree.Element]:
    """Yield the pages of a list. ``more``: the words of a query for the next page, and where a page says them."""
    asked = dict(query)
    while True:
        answer = client.ask(S3Request("GET", client.path(), asked), (200,))
        page = parsed(answer.body, client.name)
        yield page
        following = {word: unquote(page.findtext(f"{{*}}{said}") or "") for word, said in more.items()}
        if not any(following.values()):
            return
        asked = {**query, **following}


def parsed(body: bytes, name: str) -> ElementTree.Element:
    """Return the root of an answer in XML. Raises OSError (EIO)."""
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise unreadable(name) from error


def unreadable(name: str) -> OSError:
    """Return the error for a list that is none."""
    return OSError(errno.EIO, f"GET {name}: the list of keys cannot be read")


def _listed_key(client: S3Client, each: ElementTree.Element) -> ListedKey:
    try:
        at = datetime.fromisoformat(each.findtext("{*}LastModified") or "").timestamp()
        return ListedKey(unquote(each.findtext("{*}Key") or ""), int(each.findtext("{*}Size") or ""), at)
    except ValueError as error:
        raise unreadable(client.name) from error
