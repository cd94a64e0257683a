"""The audit trail by Debian's rsyslog, as our example has it, to a repository that takes syslog over TLS."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.audit_repository import RSYSLOGD, Repository, example, rsyslog
from tests.support.certificates import Authority, authority
from tests.support.ports import free_port
from tests.support.wait import wait_for
from triage.security.audit_file import AuditFile
from triage.security.audit_message import AuditSource
from triage.security.audit_trail import AuditTrail, trail_of

HEADER = re.compile(r"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S+ \S+ cxr-triage - DICOM\+RFC3881 - \ufeff")
ROTATE_AT = 1 << 16


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def written(tmp_path: Path) -> AuditTrail:
    return trail_of(AuditFile(tmp_path / "audit/audit.xml", ROTATE_AT), AuditSource("cxr-triage", "web"))


def lines_of(written: AuditTrail) -> list[str]:
    files = sorted(written.sink.path.parent.glob("audit*.xml"), key=lambda each: each.stat().st_mtime_ns)
    return [line for each in files for line in each.read_text().splitlines()]


def test_every_message_arrives_once_whatever_ends_or_moves_aside_meanwhile(
    tmp_path: Path, ca: Authority, written: AuditTrail
) -> None:
    main = example(tmp_path, port := free_port(), ca, written.sink.path.parent)
    repository = Repository(port, ca.certificate("repository", host="DNS:localhost"), ca)

    def all_came() -> bool:
        return len(repository.messages()) >= len(lines_of(written))

    with repository:
        with rsyslog(main):
            written.begin()
            written.write("<AuditMessage>Grüße 胸部</AuditMessage>")
            written.write(f"<AuditMessage>{'x' * 40_000}</AuditMessage>")  # PS3.15 A.6 asks for 32768 octets
            wait_for(all_came, "what was written before", 30.0)
        for _ in range(30):  # rsyslog is down: the trail grows, is rotated, and grows
            written.write(f"<AuditMessage>{'y' * 2000}</AuditMessage>")
    assert len(list(written.sink.path.parent.glob("audit-*.xml"))) == 1
    with rsyslog(main):
        written.write("<AuditMessage>while the repository is away</AuditMessage>")
        with repository:
            wait_for(all_came, "what was written meanwhile", 60.0)
            written.end()
            wait_for(all_came, "the end", 30.0)
    messages = repository.messages()
    assert all(HEADER.match(each) for each in messages), messages[0][:200]
    assert sorted(HEADER.sub("", each) for each in messages) == sorted(lines_of(written))


@pytest.mark.parametrize(("strange", "host"), [(True, "localhost"), (False, "elsewhere.example")])
def test_a_repository_that_is_not_ours_gets_nothing(
    strange: bool, host: str, tmp_path: Path, ca: Authority, written: AuditTrail
) -> None:
    main = example(tmp_path, port := free_port(), ca, written.sink.path.parent)
    (tmp_path / "other").mkdir()
    signer = authority(tmp_path / "other") if strange else ca
    written.begin()
    with Repository(port, signer.certificate("repository", host=f"DNS:{host}"), ca) as repository, rsyslog(main):
        why = "not permitted to talk to it|certificate .*invalid|not trusted"
        wait_for(lambda: re.search(why, (tmp_path / "out").read_text()), "the refusal", 30.0)
        assert repository.messages() == []


def test_the_example_is_one_that_rsyslog_takes(tmp_path: Path, ca: Authority) -> None:
    if not Path(RSYSLOGD).exists():
        pytest.skip("rsyslog: sudo apt-get install rsyslog rsyslog-gnutls")
    main = example(tmp_path, 1, ca, tmp_path)
    checked = subprocess.run([RSYSLOGD, "-N1", "-f", main], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0
    assert "error" not in checked.stderr
