"""A process that stands still, and goes on."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.acceptance.hosts.standstill import standing_still
from tests.support.wait import wait_for

_PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


def test_all_of_it_stands_still_and_all_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT]) as process:
        first = psutil.Process(process.pid)
        (child,) = wait_for(first.children, "its child to run")
        try:
            with standing_still(process.pid):
                wait_for(lambda: {first.status(), child.status()} == {psutil.STATUS_STOPPED}, "both to stand still")
            wait_for(lambda: psutil.STATUS_STOPPED not in {first.status(), child.status()}, "both to go on")
        finally:
            child.kill()
            process.kill()
