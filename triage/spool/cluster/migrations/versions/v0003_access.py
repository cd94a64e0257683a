"""Tables of access: users, sessions, facts of the throttle, lines of the audit trail (docs/adr/0079).

They are of a tenant and of no partition: a partition holds no patient's study and has no users of its own.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF = 'tenant text COLLATE "C" NOT NULL'
_NOW = "timestamptz NOT NULL DEFAULT clock_timestamp()"

_TABLES = (
    # name_key: the name without its case.
    f"""CREATE TABLE account ({_OF}, name_key text COLLATE "C" NOT NULL, name text NOT NULL, role text NOT NULL,
  password text NOT NULL, stamp text NOT NULL, changed {_NOW}, PRIMARY KEY (tenant, name_key))""",
    # digest: of the token, which the browser alone has. id_token: of an identity provider, for the way out.
    f"""CREATE TABLE session ({_OF}, digest text COLLATE "C" NOT NULL, user_name text NOT NULL, stamp text NOT NULL,
  began {_NOW}, seen {_NOW}, provided_role text, id_token text, PRIMARY KEY (tenant, digest),
  CHECK ((provided_role IS NULL) = (id_token IS NULL)))""",
    # kind: a wrong try, a known device, a state that came back from an identity provider. key: a digest.
    f"""CREATE TABLE sign_in_fact ({_OF}, kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
  tries integer NOT NULL DEFAULT 0, at {_NOW}, PRIMARY KEY (tenant, kind, key))""",
    "CREATE INDEX sign_in_fact_by_age ON sign_in_fact (tenant, kind, at)",
    # moved: digest and count of a line that came out of a file, which is moved once.
    f"""CREATE TABLE audit_line (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_OF}, host text NOT NULL,
  process text NOT NULL, at {_NOW}, content text NOT NULL, moved text COLLATE "C")""",
    "CREATE INDEX audit_line_by_time ON audit_line (tenant, at, number)",
    "CREATE UNIQUE INDEX audit_line_moved_once ON audit_line (tenant, moved) WHERE moved IS NOT NULL",
)
_TRIGGERS = (
    "CREATE TRIGGER audit_line_is_kept BEFORE UPDATE OR DELETE ON audit_line "
    "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER audit_lines_are_kept BEFORE TRUNCATE ON audit_line "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in (*_TABLES, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Raise NotImplementedError: an audit trail is not removed by a program."""
    raise NotImplementedError("users and the audit trail are removed by a person alone: DROP TABLE")
