"""The first tables: facts of studies and objects, entries and logs, keys of the bucket, leases.

Contents are the JSON text of before, in columns of text and bytes: what json and jsonb refuse (NaN, a null character)
or change (the order of keys, digits of a number) stays as it was written. Names and UIDs are ordered by their bytes.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OF = 'tenant text COLLATE "C" NOT NULL, partition text COLLATE "C" NOT NULL'
_OF_STUDY = f"""{_OF}, study_uid text COLLATE "C" NOT NULL,
  FOREIGN KEY (tenant, partition, study_uid) REFERENCES study ON DELETE CASCADE"""

_TABLES = (
    f"""CREATE TABLE installation ({_OF}, uid text NOT NULL, made timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, partition))""",
    # decision and decided: the current one; touched: a lower bound of the last change.
    f"""CREATE TABLE study ({_OF}, study_uid text COLLATE "C" NOT NULL, study_group text COLLATE "C" NOT NULL,
  touched timestamptz NOT NULL DEFAULT clock_timestamp(), decision text, decided timestamptz,
  PRIMARY KEY (tenant, partition, study_uid))""",
    "CREATE INDEX study_by_group ON study (tenant, partition, study_group)",
    # The groups to or from which a study came, by the transaction that did it: see study_changes.py.
    f"""CREATE TABLE study_change (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_OF},
  study_group text COLLATE "C" NOT NULL, transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX study_change_by_transaction ON study_change (tenant, partition, transaction)",
    f"""CREATE TABLE assessment ({_OF_STUDY}, sop_uid text COLLATE "C" NOT NULL, digest text COLLATE "C" NOT NULL,
  content text NOT NULL, written timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, partition, study_uid, sop_uid, digest))""",
    f"""CREATE TABLE history (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_OF_STUDY},
  content text NOT NULL, written timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX history_of_study ON history (tenant, partition, study_uid, number)",
    # study_uid is NULL for what is of the site; key: the bytes are in the bucket.
    f"""CREATE TABLE entry ({_OF}, study_uid text COLLATE "C", place text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL, content bytea, key text, size bigint NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK ((content IS NULL) <> (key IS NULL)),
  FOREIGN KEY (tenant, partition, study_uid) REFERENCES study ON DELETE CASCADE)""",
    "CREATE UNIQUE INDEX entry_by_name ON entry (tenant, partition, COALESCE(study_uid, ''), place, name)",
    "CREATE INDEX entry_of_studies ON entry (tenant, partition, name, study_uid) "
    "WHERE study_uid IS NOT NULL AND place = ''",
    f"""CREATE TABLE record (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_OF},
  study_uid text COLLATE "C", place text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, content text NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (tenant, partition, study_uid) REFERENCES study ON DELETE CASCADE)""",
    "CREATE INDEX record_of_log ON record (tenant, partition, COALESCE(study_uid, ''), place, name, number)",
    "CREATE INDEX record_of_studies ON record (tenant, partition, name, study_uid) "
    "WHERE study_uid IS NOT NULL AND place = ''",
    f'CREATE TABLE place ({_OF}, words text COLLATE "C" NOT NULL, PRIMARY KEY (tenant, partition, words))',
    f"""CREATE TABLE object ({_OF}, study_uid text COLLATE "C" NOT NULL, sop_uid text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL, state text NOT NULL CHECK (state IN ('waiting', 'filed', 'dead')),
  key text NOT NULL UNIQUE, size bigint NOT NULL, received timestamptz NOT NULL DEFAULT clock_timestamp(),
  failure text, confirmed timestamptz,
  PRIMARY KEY (tenant, partition, study_uid, sop_uid, digest))""",
    "CREATE INDEX object_unfinished ON object (tenant, partition, state, received) WHERE state <> 'filed'",
    # A key is in this table or in one of those above, never in both; 'uploading' until the deadline.
    f"""CREATE TABLE bucket_key (key text PRIMARY KEY, {_OF},
  state text NOT NULL CHECK (state IN ('uploading', 'dead')), deadline timestamptz NOT NULL)""",
    "CREATE INDEX bucket_key_by_deadline ON bucket_key (tenant, state, deadline)",
    f"""CREATE TABLE lease ({_OF}, kind text NOT NULL, name text COLLATE "C" NOT NULL, token uuid NOT NULL UNIQUE,
  started timestamptz NOT NULL, deadline timestamptz NOT NULL, ended boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant, partition, kind, name))""",
)
_TRIGGERS = (
    # A row that goes leaves its key on the list of those to delete, whatever removed it.
    """CREATE FUNCTION list_dead_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO bucket_key (key, tenant, partition, state, deadline)
  VALUES (OLD.key, OLD.tenant, OLD.partition, 'dead', clock_timestamp());
  RETURN NULL;
END $$""",
    "CREATE TRIGGER object_gone AFTER DELETE ON object FOR EACH ROW EXECUTE FUNCTION list_dead_key()",
    "CREATE TRIGGER entry_gone AFTER DELETE ON entry FOR EACH ROW WHEN (OLD.key IS NOT NULL) "
    "EXECUTE FUNCTION list_dead_key()",
    "CREATE TRIGGER entry_replaced AFTER UPDATE OF key ON entry FOR EACH ROW "
    "WHEN (OLD.key IS NOT NULL AND OLD.key IS DISTINCT FROM NEW.key) EXECUTE FUNCTION list_dead_key()",
    """CREATE FUNCTION note_study_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed study;
BEGIN
  IF TG_OP = 'DELETE' THEN changed = OLD; ELSE changed = NEW; END IF;
  INSERT INTO study_change (tenant, partition, study_group)
  VALUES (changed.tenant, changed.partition, changed.study_group);
  RETURN NULL;
END $$""",
    "CREATE TRIGGER study_changed AFTER INSERT OR DELETE ON study FOR EACH ROW EXECUTE FUNCTION note_study_change()",
    # What a decision or an act was is not changed; it goes with its study alone.
    """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are not changed', TG_TABLE_NAME;
END $$""",
    "CREATE TRIGGER history_is_kept BEFORE UPDATE ON history FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER record_is_kept BEFORE UPDATE ON record FOR EACH ROW EXECUTE FUNCTION refuse_change()",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in (*_TABLES, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Raise NotImplementedError: an earlier release has no tables, and a database with facts is not emptied by us."""
    raise NotImplementedError("the first tables are removed by a person alone: DROP DATABASE")
