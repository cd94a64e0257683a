"""What a browser sees. The worklist page is yet to come; this says so and shows the way to the API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>cxr-triage</title>
</head>
<body>
<h1>cxr-triage</h1>
<p>Reads chest radiographs as they arrive and puts the suspicious ones on top of the worklist.
<strong>Research use; not a medical device.</strong></p>
<p>There is no worklist page yet. What there is:</p>
<ul>
<li><a href="/api/worklist">/api/worklist</a>: the studies in reading order, as JSON
(<code>?limit=</code>1 to 500, <code>?cursor=</code> of the page before)</li>
<li><code>/api/worklist/</code><var>Study Instance UID</var>: one study</li>
<li><a href="/api/status">/api/status</a>: what waits, what was given up, how full the disk is</li>
<li><a href="/readyz">/readyz</a>, <a href="/healthz">/healthz</a>, <a href="/metrics">/metrics</a>:
for monitoring</li>
</ul>
<p>In a terminal: <code>triage worklist</code>, <code>triage explain</code> <var>Study Instance UID</var>.</p>
</body>
</html>
"""


def routes() -> list[Route]:
    """The pages' addresses."""
    return [Route("/", _index)]


async def _index(request: Request) -> HTMLResponse:
    return HTMLResponse(_INDEX)
