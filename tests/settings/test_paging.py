"""Settings of paging that would page no one, the wrong ones, or without TLS: they are refused at the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triage.settings.load import SettingsError, load
from triage.settings.reference import dump

WHOLE = """
[paging]
after_minutes = 10
mail_to = ["rota@hospital.example"]
{paging}
[smtp]
host = "mail.hospital.example"
sender = "triage@hospital.example"
{smtp}
"""
QUIET = 'quiet_from = "22:00"\nquiet_to = "07:00"\ntime_zone = "Europe/Berlin"\n'


def test_whole_settings_are_taken_and_their_secrets_masked(tmp_path: Path):
    file, secret = tmp_path / "triage.toml", tmp_path / "chat"
    secret.write_text("https://chat.example/hooks/very-secret\n")
    quiet = f'{QUIET}quiet_chat_url_file = "{secret}"\nquiet_mail_to = ["a.b+c@x.example"]'
    file.write_text(WHOLE.format(paging=quiet, smtp='user = "u"\npassword = "very-secret"'))
    settings = load(file, {"TRIAGE_PAGING_CHAT_URL": "https://chat.example/very-secret"})
    assert settings.paging.on and settings.paging.quiet_hours is not None
    assert settings.paging.quiet_chat_url.get_secret_value().endswith("very-secret")
    assert "very-secret" not in dump(settings) and "very-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("paging", "smtp", "why"),
    [
        (QUIET, "", "quiet_from needs quiet_mail_to or quiet_chat_url"),
        ('quiet_from = "22:00"', "", "need each other"),
        ('quiet_from = "22:00"\nquiet_to = "22:00"\ntime_zone = "UTC"', "", "are the same"),
        ('quiet_from = "22:00"\nquiet_to = "07:00"', "", "needs time_zone"),
        ('quiet_from = "24:00"\nquiet_to = "07:00"', "", "quiet_from"),
        ('time_zone = "Europe/Berln"', "", "no time zone"),
        ('time_zone = "../../etc/passwd"', "", "no time zone"),
        ('quiet_mail_to = ["n@x.example"]', "", "need quiet_from"),
        ('chat_url = "http://chat.example/x"', "", "an https address"),
        ('chat_url = "javascript:alert(1)"', "", "an https address"),
        ('chat_url = "https:///x"', "", "an https address"),
        ('chat_template = \'{"text": "{patient}"}\'', "", "unknown field"),
        ('chat_template = \'{"text": "{title}"}\'', "", "lacks {text}"),
        ("chat_template = '{text}'", "", "no JSON"),
        ('page_url = "javascript:alert(1)"', "", "page_url"),
        ('identifies = "link"', "", "needs page_url"),
        ("cap_per_hour = 0", "", "cap_per_hour"),
        ("repeat_minutes = 0", "", "repeat_minutes"),
        ("", 'tls = "none"', "only for a mail server on this machine"),
        ("", 'user = "u"', "need each other"),
        ("", "port = 0", "needs smtp.host, smtp.port and smtp.sender"),
    ],
)
def test_what_would_fail_at_night_is_refused_at_the_start(tmp_path: Path, paging: str, smtp: str, why: str):
    file = tmp_path / "triage.toml"
    file.write_text(WHOLE.format(paging=paging, smtp=smtp))
    with pytest.raises(SettingsError) as refused:
        load(file, {})
    assert why in str(refused.value)


@pytest.mark.parametrize("to", ["", "rota", "a@b@c", "a@x.example, b@x.example", "a@x.example\nBcc: b@x", "<a@x.org>"])
def test_an_address_is_one_address(tmp_path: Path, to: str):
    with pytest.raises(SettingsError):
        load(None, {"TRIAGE_PAGING_AFTER_MINUTES": "5", "TRIAGE_SMTP_HOST": "h", "TRIAGE_SMTP_SENDER": to or "no"})
    file = tmp_path / "triage.toml"
    addresses = json.dumps([to] if to else [])
    file.write_text(WHOLE.format(paging="", smtp="").replace('["rota@hospital.example"]', addresses))
    with pytest.raises(SettingsError, match=r"mail_to"):
        load(file, {})
