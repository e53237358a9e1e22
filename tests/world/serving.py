"""How bytes are served: validators, ranges and the negotiation of a page's format.

Conditional requests and ranges follow RFC 9110; only one range is ever honoured.
"""

import re
from urllib.parse import unquote

from tests.world.messages import Headers, Reply, Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def canonical(path: str) -> str:
    """The path with everything decoded but an encoded slash or percent sign."""
    parts = re.split(r"(%2[fF]|%25)", path)
    return "".join(p.upper() if re.fullmatch(r"%2[fF]|%25", p) else unquote(p) for p in parts)


def page(request: Request, body: bytes, media_type: str, etag: str | None) -> Reply:
    """A page, or 304 when the client already has this one."""
    headers: Headers = (("Content-Type", media_type), ("Vary", "Accept"))
    return _validated(request, Reply(200, headers, body), etag)


def file(request: Request, body: bytes, etag: str | None, *, ranges: bool) -> Reply:
    """A file, a part of it when a valid range is asked for, or 304."""
    headers: Headers = (("Content-Type", "application/octet-stream"),)
    if ranges:
        headers = (*headers, ("Accept-Ranges", "bytes"))
    whole = _validated(request, Reply(200, headers, body), etag)
    asked = _RANGE.fullmatch(request.header("range") or "")
    condition = request.header("if-range")
    if whole.status != 200 or not ranges or asked is None:
        return whole
    if condition is not None and condition != etag:
        return whole
    return _part(whole, asked[1], asked[2])


def _validated(request: Request, reply: Reply, etag: str | None) -> Reply:
    if etag is None:
        return reply
    tagged = reply.with_headers(("ETag", etag))
    known = request.header("if-none-match")
    if known is not None and (known == "*" or etag in (t.strip() for t in known.split(","))):
        return Reply(304, (("ETag", etag),))
    return tagged


def _part(whole: Reply, first: str, last: str) -> Reply:
    total = len(whole.body)
    if first:
        start, end = int(first), min(int(last), total - 1) if last else total - 1
    elif last:
        start, end = max(0, total - int(last)), total - 1
    else:
        return whole
    if start >= total or start > end:
        return Reply(416, (("Content-Range", f"bytes */{total}"),))
    part = whole.with_headers(("Content-Range", f"bytes {start}-{end}/{total}"))
    return Reply(206, part.headers, whole.body[start : end + 1])
