"""Debian's Chromium, and pages in it whose script errors fail the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_MS = 60_000
_CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """A browser, started with more ``arguments``; skips the test where there is none."""
    if not _CHROMIUM.exists():
        pytest.skip("a browser: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=[*_ARGUMENTS, *arguments])
        yield launched
        launched.close()


@contextmanager
def watched(browser: Browser, width: int, height: int) -> Iterator[Page]:
    """A page of its own context, every script error and policy violation of which fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
    yield opened
    context.close()
    assert errors == []
