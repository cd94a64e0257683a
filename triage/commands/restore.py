"""``triage restore``: a backup into an empty folder."""

from __future__ import annotations

import time
from pathlib import Path

import click

from triage.commands.base import PATH

_NEXT = """\
{count} files of {when} are in {folder}, each with its digest. Next:
1. Stop the service everywhere, and see that nothing is started on the old spool again.
2. Set spool.path = "{folder}/spool", sign_in.users_file = "{folder}/users.json", models.path = "{folder}/models" and
   audit.path = "{folder}/audit/audit.xml", as far as each was kept, and models.operating_points, if it was set, to the
   file operating-points there; triage.toml there is the settings file as it was.
3. Give the folder to the account of the service (chown -R). A backup has no certificates, keys, files of secrets and
   TRIAGE_ variables: put them in their places. People sign in anew.
4. Start it on an empty Redis, then: triage healthcheck, triage worklist, triage channel.
5. Have the PACS send again what came since {when}. What was delivered until then stays delivered.\
"""
_NEXT_OF_ENGINES = """\
{count} files of {when} are in {folder}, each with its digest. The store is not in them: PostgreSQL and the bucket are
restored by their own means (docs/how-to/several-hosts.md, Backup). When the backup was made:
{engines}
Next:
1. Stop the service on every host.
2. Set sign_in.users_file = "{folder}/users.json", models.path = "{folder}/models" and
   audit.path = "{folder}/audit/audit.xml", as far as each was kept, and models.operating_points, if it was set, to the
   file operating-points there; triage.toml there is the settings file as it was.
3. Give the folder to the account of the service (chown -R). A backup has no certificates, keys, files of secrets and
   TRIAGE_ variables: put them in their places. People sign in anew.
4. If the database was restored: triage store bring-back, then triage store compare --backup {backup}.\
"""


@click.command()
@click.argument("backup", type=PATH)
@click.argument("folder", type=PATH)
@click.option(
    "--at", "name", default="", metavar="NAME", help="Which backup, as `triage backup` named it; else the last."
)
def restore(backup: Path, folder: Path, name: str) -> None:
    """Restore the last backup in BACKUP into FOLDER, which must be empty, and say what to do next.

    Every digest and count is checked. --at takes an earlier backup.
    """
    from triage.backup.archive import Archive
    from triage.backup.manifest import BackupError
    from triage.backup.restore import FolderTarget
    from triage.backup.restore import restore as run

    archive = Archive(backup)
    try:
        archive.manifest(name)  # before anything is made
        manifest = run(archive, name, FolderTarget(folder))
    except BackupError as error:
        raise click.ClickException(str(error)) from error
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(manifest.begun))
    words = {"count": sum(manifest.counts.values()), "when": when, "folder": folder.absolute()}
    if manifest.engines:
        from triage.spool.comparing.engine_state import described, state_of_record

        engines = described(state_of_record(manifest.engines))
        click.echo(_NEXT_OF_ENGINES.format(**words, engines=engines, backup=backup.absolute()))
    else:
        click.echo(_NEXT.format(**words))
    for line in manifest.left_out:
        click.echo(f"not in the backup, because it could not be read: {line}", err=True)
