"""Errors of PostgreSQL and of the bucket: which say that the engine is away, and what is told of them."""

from __future__ import annotations

import errno
import socket

import pytest
from pg8000.exceptions import DatabaseError, InterfaceError

from triage.errors import StartError
from triage.spool.cluster.s3_faults import S3Answer, fault_of, fault_of_exchange
from triage.spool.cluster.sql_errors import as_os_error
from triage.spool.errors import engine_away, engine_words, is_of_engine

DATABASE = "postgresql://db.hospital.example:5432/triage"
AWAY = [
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    TimeoutError("timed out"),
    OSError(errno.EHOSTUNREACH, "No route to host"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    InterfaceError("network error"),
    DatabaseError({"C": "57P03"}),  # it starts
    DatabaseError({"C": "53300"}),  # no session left
    DatabaseError({"C": "57P01"}),  # it stops
]
REFUSED = [
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    DatabaseError({"C": "28P01"}),  # password
    DatabaseError({"C": "3D000"}),  # no such database
    DatabaseError({"C": "42501"}),  # no right
    DatabaseError({"C": "25006"}),  # read-only
]


@pytest.mark.parametrize("error", AWAY, ids=repr)
def test_a_database_that_does_not_answer_is_away(error: Exception) -> None:
    found = as_os_error(error, DATABASE)
    assert engine_away(found) is found
    words = engine_words(found)
    assert words.startswith(f"{DATABASE}: ") and words.endswith("or correct postgres.host and postgres.port")
    assert found.errno != errno.EPIPE  # which ends a command as if its reader had gone


@pytest.mark.parametrize("error", REFUSED, ids=repr)
def test_one_that_refuses_is_not(error: Exception) -> None:
    found = as_os_error(error, DATABASE)
    assert engine_away(found) is None and is_of_engine(found)
    assert engine_words(found) == f"{DATABASE}: {found.strerror}"


def test_a_bucket_that_does_not_answer_is_away_and_one_that_refuses_is_not() -> None:
    host = "s3.hospital.example"
    gone = fault_of_exchange(ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False, host)
    assert engine_away(gone) is gone and engine_words(gone).endswith("or correct s3.endpoint")
    busy = fault_of(S3Answer(503, {}, b"<Code>SlowDown</Code>"), "PUT a", host)
    assert engine_away(busy) is busy
    for code in ("InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch"):
        refused = fault_of(S3Answer(403, {}, f"<Code>{code}</Code>".encode()), "PUT a", host)
        assert is_of_engine(refused) and engine_away(refused) is None


def test_it_is_found_in_the_cause_of_another_error_and_a_file_is_no_engine() -> None:
    away = as_os_error(AWAY[0], DATABASE)
    with pytest.raises(StartError) as raised:
        raise StartError("the users cannot be read") from away
    assert engine_away(raised.value) is away
    for other in (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OSError(errno.EAGAIN, "busy", "/var/lib/x")):
        assert engine_away(other) is None and not is_of_engine(other)
