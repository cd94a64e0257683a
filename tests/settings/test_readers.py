"""The processes that read each section, as the settings page names them."""

from __future__ import annotations

import pytest

from tests.settings.read_sections import sections_read
from triage.settings.reference import readers
from triage.settings.schema import PROCESSES, Settings

BY_THE_COMMAND = {"data", "spool", "store", "postgres", "s3", "log"}
"""Read before a process begins, for each of them: places of files, the spool that is opened, the log."""


@pytest.mark.parametrize("process", PROCESSES)
def test_the_page_names_the_processes_that_read_a_section(process: str) -> None:
    declared = {section for section in Settings.model_fields if process in readers(section)}
    found = sections_read(f"triage.service.{process}", process)
    assert found and declared == found | BY_THE_COMMAND
