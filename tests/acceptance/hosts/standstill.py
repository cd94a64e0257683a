"""Engines that stand still: they accept what is sent to them, and answer nothing until they go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def standing_still(process_id: int) -> Iterator[None]:
    """Stop a process and all that it has started while the context is open: those first that start others."""
    stopped = []
    try:
        while left := [each for each in _with_children(process_id) if each not in stopped]:
            for each in left:
                stopped.append(each)
                _send(each, signal.SIGSTOP)
        yield
    finally:
        for each in reversed(stopped):
            _send(each, signal.SIGCONT)


def _with_children(process_id: int) -> list[psutil.Process]:
    first = psutil.Process(process_id)
    return [first, *first.children(recursive=True)]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
