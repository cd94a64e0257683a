"""Rows of many listed studies, written past the store: as decisions and their completion write them, and in one go."""

from __future__ import annotations

import json

from tests.support.builders import a_decision
from tests.support.postgres_server import PostgresServer
from triage.decision.records import to_record
from triage.decision.types import Priority, Tag

FIRST = 1_000_000
"""When the first study arrived, in POSIX seconds; each further one comes a second later."""
_GRAMS = """ARRAY(SELECT DISTINCT substr({text}, s, size)
FROM generate_series(1, {longest}) s, generate_series({sizes}) size WHERE s + size - 1 <= {longest})"""


def fill(server: PostgresServer, tenant: str, count: int, database: str = "postgres") -> None:
    """Add ``count`` unread studies of a tenant: names of eight letters, every third one HIGH, five senders."""
    name = "md5(n::text)"
    uid, patient, number = "'1.2.' || n", f"substr({name}, 1, 8)", "'acc-' || lpad(n::text, 6, '0')"
    searched = f"'id' || n || chr(10) || {patient}"
    priority = "CASE n % 3 WHEN 0 THEN 'HIGH' ELSE 'MEDIUM' END"
    columns = {
        "tenant": f"'{tenant}'",
        "partition": "''",
        "study_uid": uid,
        "silent": "false",
        "priority": priority,
        "tag": "CASE n % 3 WHEN 0 THEN 'ABNORMAL' ELSE 'NORMAL' END",
        "urgency": "CASE n % 3 WHEN 0 THEN 'urgent' ELSE 'normal' END",
        "received_at": f"{FIRST} + n",
        "tagged_at": f"{FIRST} + n",
        "sequence": "1",
        "revision": "'r'",
        "accession_number": f"upper({number})",
        "calling_ae_title": "'DX' || n % 5",
        "patient_name": f"upper({patient})",
        "name_key": patient,
        "patient_id": "'ID' || n",
        "id_key": "'id' || n",
        "age_years": "n % 90",
        "sex": "CASE n % 2 WHEN 0 THEN 'F' ELSE '' END",
        "sex_key": "CASE n % 2 WHEN 0 THEN 'F' END",
        "view": "'PA'",
        "view_key": "'PA'",
        "views": "ARRAY['PA']",
        "searchable": searched,
        "patient_grams": _grams(searched, 18, "1, 3"),
        "numbers": number,
        "number_grams": _grams(number, 10, "3, 3"),
        "complete": "true",
    }
    of_study = {each: columns[each] for each in ("tenant", "partition", "study_uid")}
    _insert(server, database, "study", {**of_study, "study_group": "'00'", "decision": _decision(uid, priority)}, count)
    server.command("VACUUM ANALYZE study", database)  # before rows that refer to it are looked up by a stale plan
    _insert(server, database, "listed_study", columns, count)
    server.command("VACUUM ANALYZE listed_study", database)


def _insert(server: PostgresServer, database: str, table: str, columns: dict[str, str], count: int) -> None:
    names, values = ", ".join(columns), ", ".join(columns.values())
    for start in range(1, count + 1, 1000):
        series = f"generate_series({start}, {min(start + 999, count)})"
        server.command(f"INSERT INTO {table} ({names}) SELECT {values} FROM {series} n", database)


def _decision(uid: str, priority: str) -> str:
    """Return an expression of a decision's JSON."""
    record = to_record(a_decision("UID", priority=Priority.MEDIUM, tag=Tag.NORMAL, received_at=0.0, tagged_at=0.0))
    template = json.dumps({**record, "received_at": "AT", "priority": "PRIORITY"}).replace("'", "''")
    at = f"'\"AT\"', ({FIRST} + n)::text"
    return f"replace(replace(replace('{template}', 'UID', {uid}), {at}), 'PRIORITY', {priority})"


def _grams(text: str, longest: int, sizes: str) -> str:
    return _GRAMS.format(text=text, longest=longest, sizes=sizes)
