"""Sources of settings: files, conf.d, variables, secrets in files, credentials; messages on wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from triage.runtime.toml_lines import key_lines
from triage.settings.load import Loaded, SettingsError, load, load_located
from triage.settings.reference import revision
from triage.settings.sources.files import settings_file

SECRET = "0123456789abcdef"
HOOK = '[[channels.webhook]]\nname = "hook"\nurl = "https://a.example/x"\n'
RIS = '[[channels.hl7]]\nname = "ris"\nhost = "{host}"\nport = 2575\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    file = tmp_path / "etc" / "triage.toml"
    (file.parent / "conf.d").mkdir(parents=True)
    file.write_text("")
    return file


def refused(file: Path | None, environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as error:
        load(file, environment)
    return str(error.value)


def test_conf_d_is_read_after_the_file_and_in_the_order_of_names(main: Path) -> None:
    main.write_text('[listener]\nport = 1\nae_title = "MAIN"\n' + RIS.format(host="a"))
    (main.parent / "conf.d/20.toml").write_text("[listener]\nport = 3\n")
    (main.parent / "conf.d/10.toml").write_text("[listener]\nport = 2\n" + HOOK + f'secret = "{SECRET}"\n')
    (main.parent / "conf.d/20.toml.dpkg-old").write_text("[listener]\nport = 4\n")
    settings = load(main, {})
    assert (settings.listener.port, settings.listener.ae_title) == (3, "MAIN")
    assert [each.name for each in settings.channels.all()] == ["ris", "hook"]


def test_two_files_that_name_one_destination_are_refused_with_both_places(main: Path) -> None:
    main.write_text(RIS.format(host="a"))
    other = main.parent / "conf.d/ris.toml"
    other.write_text("# ours\n" + RIS.format(host="b"))
    said = refused(main, {})
    assert f"ris is in {main}, line 1" in said
    assert f"{other}, line 2" in said


def test_destinations_are_given_and_changed_by_variables(main: Path) -> None:
    main.write_text(RIS.format(host="a"))
    prefix = "TRIAGE_CHANNELS__"
    settings = load(
        main,
        {
            f"{prefix}HL7__RIS__HOST": "b",
            f"{prefix}HL7__RIS__DELIVERED": "AA, CA",
            f"{prefix}SECONDARY_CAPTURE__PACS_2__HOST": "c",
            f"{prefix}SECONDARY_CAPTURE__PACS_2__PORT": "104",
            f"{prefix}SECONDARY_CAPTURE__PACS_2__CALLED_AE_TITLE": "PACS",
        },
    )
    (ris,), (pacs,) = settings.channels.hl7, settings.channels.secondary_capture
    assert (ris.host, ris.port, ris.delivered) == ("b", 2575, ("AA", "CA"))
    assert (pacs.name, pacs.host, pacs.port) == ("pacs_2", "c", 104)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TRIAGE_CHANNELS__HL8__RIS__HOST", "no kind of destination hl8: did you mean hl7?"),
        ("TRIAGE_CHANNELS__HL7__RIS__HOTS", "has no hots: did you mean host?"),
        ("TRIAGE_CHANNELS__HL7__RIS", "TRIAGE_CHANNELS__KIND__NAME__KEY"),
        ("TRIAGE_CHANNELS__HL7__RIS__HOST", "channels.hl7.0.port: Field required (the variable"),
        ("TRIAGE_LISTENER_PROT", "TRIAGE_LISTENER_PROT: did you mean TRIAGE_LISTENER_PORT?"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, said: str) -> None:
    assert said in refused(None, {variable: "x"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listener]\n# a\nprot = 1\n", "did you mean listener.port? (FILE, line 3)"),
        ("[lisener]\nport = 1\n", "lisener: there is no such setting: did you mean listener? (FILE, line 1)"),
        ("[web]\nsource_addresses = []\n", "did you mean listener.source_addresses or reports.source_addresses?"),
        ('[listener]\ncalling_ae_titles = [\n  "A", # ]\n  "B",\n]\nport = 70000\n', "(FILE, line 6)"),
        ('[spool]\npath = """\n[a]\nb"""\nhigh_water = 7\n', "(FILE, line 5)"),
        (HOOK + 'secret = "short"\n\n' + HOOK.replace('"hook"', '"b"') + 'secrte = "x"\n', "line 9)"),
        ("listener.port = 70000\n", "(FILE, line 1)"),
        ("[listener\n", "line 1"),
        ("channels = 1\n", "channels: "),
        ("\n" + HOOK.replace(".webhook", ".web_hook"), "did you mean channels.webhook? (FILE, line 2)"),
        ("channels.hl7 = 1\n", "(FILE, line 1)"),
        ("[channels]\nhl7 = [1]\n", "(FILE, line 2)"),
    ],
)
def test_a_wrong_key_is_named_with_its_file_and_line(main: Path, text: str, said: str) -> None:
    main.write_text(text)
    assert said.replace("FILE", str(main)) in refused(main, {})


def test_lines_are_those_of_lists_of_tables_and_quoted_keys() -> None:
    text = "a = {b = 1}\n[[x.y]]\nk = 1\n\n[[x.y]]\n\"k.l\" = '''\n[z]\n'''\n[x.y.s]\nm.n = [[1],\n[2]]\n"
    found = key_lines(text)
    assert found[("x", "y", 0, "k")] == 3
    assert found[("x", "y", 1, "k.l")] == 6
    assert found[("x", "y", 1, "s", "m", "n")] == 10
    assert ("z",) not in found


def test_a_secret_is_read_from_a_file(tmp_path: Path, main: Path) -> None:
    secret, url = tmp_path / "secret", tmp_path / "url"
    secret.write_text(SECRET + "\n")
    url.write_text("redis://:pass@a:1/0\n")
    main.write_text(f'[redis]\nurl_file = "{url}"\n{HOOK}secret_file = "{secret}"\n')
    settings = load(main, {})
    assert settings.channels.webhook[0].secret.get_secret_value() == SECRET
    assert settings.redis.url.get_secret_value() == "redis://:pass@a:1/0"
    assert load(main, {"TRIAGE_REDIS_URL": "redis://b:1"}).redis.url.get_secret_value() == "redis://b:1"
    assert load(None, {"TRIAGE_REDIS_URL_FILE": str(url)}).redis.url.get_secret_value() == "redis://:pass@a:1/0"
    both = {"TRIAGE_REDIS_URL": "redis://b:1", "TRIAGE_REDIS_URL_FILE": str(url)}
    assert "both url and url_file" in refused(None, both)
    for wrong, said in (("relative", "absolute"), (str(tmp_path / "none"), "none"), (str(main), "is empty")):
        main.write_text("")
        assert said in refused(None, {"TRIAGE_REDIS_URL_FILE": wrong})


def test_secrets_come_from_systemd_s_credentials(tmp_path: Path, main: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "triage.redis.url").write_text("redis://:pass@a:1/0")
    (credentials / "triage.channels.webhook.hook.secret").write_text(SECRET)
    (credentials / "of-another").write_text("x")
    main.write_text(HOOK)
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    settings = load(main, environment)
    assert settings.channels.webhook[0].secret.get_secret_value() == SECRET
    assert settings.redis.url.get_secret_value() == "redis://:pass@a:1/0"
    assert "both" in refused(main, {**environment, "TRIAGE_REDIS_URL": "redis://b:1"})
    (credentials / "triage.redis.password").write_text("pass")
    (credentials / "triage.oidc.client_secret").write_text(SECRET)
    with_both = load(main, environment)
    assert with_both.redis.password_file == credentials / "triage.redis.password"
    assert with_both.oidc.client_secret_file == credentials / "triage.oidc.client_secret"
    assert revision(with_both) == revision(settings)  # each unit has a folder of its own
    (credentials / "triage.redis.ulr").write_text("x")
    assert "triage.redis.ulr is the credential of no secret: did you mean triage.redis.url?" in refused(
        main, environment
    )


def found(main: Path | None, here: Path, **environment: str) -> Loaded:
    return load_located(main, {"HOME": "/home/reader", **environment}, here)


def test_relative_paths_lie_in_the_data_folder_wherever_a_command_is_typed(main: Path, tmp_path: Path) -> None:
    main.write_text(
        '[data]\npath = "../state"\n[listener]\ntls_port = 1\ntls_certificate = "c.pem"\ntls_key = "/k"\n'
        '[adjudication]\nreader_studies = ["study", "/s"]\n'
    )
    for here in (tmp_path, Path("/")):
        loaded = found(main, here)
        settings, data = loaded.settings, main.parent / "../state"
        assert loaded.data == data
        assert settings.sign_in.users_file == data / "users.json"
        assert settings.audit.path == data / "audit/audit.xml"
        assert settings.spool.path == data / "spool"
        assert settings.listener.tls_certificate == data / "c.pem"
        assert settings.listener.tls_key == Path("/k")
        assert settings.adjudication.reader_studies == (data / "study", Path("/s"))


def test_users_and_audit_trail_lie_beside_the_spool(main: Path, tmp_path: Path) -> None:
    main.write_text('[spool]\npath = "/srv/cxr/spool"\n')
    settings = found(main, tmp_path).settings
    assert settings.sign_in.users_file == Path("/srv/cxr/users.json")
    assert settings.audit.path == Path("/srv/cxr/audit/audit.xml")


def test_the_data_folder_without_a_word_on_it(main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(main, tmp_path).data == main.parent / "var"
    monkeypatch.setattr("triage.settings.places.checkout", lambda: tmp_path / "checkout")
    assert found(None, tmp_path).data == tmp_path / "checkout/var"
    monkeypatch.setattr("triage.settings.places.checkout", lambda: None)
    assert found(None, tmp_path).data == Path("/home/reader/.local/state/cxr-triage")
    assert found(None, tmp_path, XDG_STATE_HOME="/s").data == Path("/s/cxr-triage")
    with pytest.raises(SettingsError, match="absolute"):
        found(None, tmp_path, TRIAGE_DATA_PATH="var")


def test_what_lies_where_the_working_directory_led_before_is_found_and_said(main: Path, tmp_path: Path) -> None:
    (tmp_path / "var/redis").mkdir(parents=True)
    (tmp_path / "var/users.json").write_text("{}")
    loaded = found(main, tmp_path)
    assert loaded.settings.sign_in.users_file == tmp_path / "var/users.json"
    assert loaded.settings.redis.socket_path == tmp_path / "var/redis/redis.sock"
    assert loaded.settings.spool.path == main.parent / "var/spool"
    assert [note.split()[0] for note in loaded.notes] == ["redis.socket_path", "sign_in.users_file"]
    (main.parent / "var").mkdir()
    (main.parent / "var/users.json").write_text("{}")
    both = found(main, tmp_path)
    assert both.settings.sign_in.users_file == main.parent / "var/users.json"
    assert f"{tmp_path}/var/users.json is not any more" in both.notes[1]
    assert found(main, tmp_path, TRIAGE_DATA_PATH="/elsewhere").notes == ()


def test_a_folder_that_is_the_data_folder_itself_is_no_former_place(main: Path) -> None:
    (main.parent / "var/redis").mkdir(parents=True)  # its socket is there while Redis runs, and not before
    (main.parent / "var/users.json").touch()
    loaded = found(main, main.parent)
    assert loaded.settings.redis.socket_path == main.parent / "var/redis/redis.sock"
    assert loaded.notes == ()


def test_two_spools_are_not_chosen_between(main: Path, tmp_path: Path) -> None:
    main.write_text('[spool]\npath = "spool"\n')
    (tmp_path / "spool").mkdir()
    assert found(main, tmp_path).settings.spool.path == tmp_path / "spool"
    (main.parent / "var/spool").mkdir(parents=True)
    with pytest.raises(SettingsError, match=f"there is a spool in {tmp_path}/spool, .* and one in {main.parent}/var"):
        found(main, tmp_path)
    (tmp_path / "spool").rmdir()
    (tmp_path / "spool").symlink_to(main.parent / "var/spool")
    assert found(main, tmp_path).notes == ()


def test_the_settings_file_is_looked_for_here_and_then_in_etc(main: Path, tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    assert settings_file(None, {}, tmp_path, system) is None
    system.write_text("")
    assert settings_file(None, {}, tmp_path, system) == system
    assert settings_file(None, {}, main.parent, system) == main
    assert settings_file(None, {"TRIAGE_CONFIG": "/x.toml"}, main.parent, system) == Path("/x.toml")
    assert settings_file(Path("y.toml"), {"TRIAGE_CONFIG": "/x.toml"}, main.parent, system) == main.parent / "y.toml"


def test_every_answer_names_the_settings_file(main: Path, tmp_path: Path) -> None:
    main.write_text('[spool]\npath = "/dev/null/spool"\n')

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "triage.cli", "--config", str(main), *words]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)

    assert f"# settings from {main}; data folder /dev/null\n" in run("settings").stdout
    assert run("up", "--print-config").stdout == run("settings").stdout
    assert run("up", "--reference").stdout.startswith("| setting | variable |")
    started = run("listen")
    assert started.returncode == 78
    assert f"settings from {main}; data in /dev/null" in started.stderr
    assert f"[settings: {main}]" in started.stderr.splitlines()[-1]
