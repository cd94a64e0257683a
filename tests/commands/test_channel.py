"""The commands about destinations, run as people run them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result

from tests.delivery.test_deliverer import a_deliverer, states
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from triage.cli import triage
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.service.supervisor import build
from triage.settings.reference import channels_reference
from triage.settings.schema import Settings
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]
SR = '[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {port}\ncalled_ae_title = "PACS"\ntimeout_s = 5\n'
HL7 = '[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {port}\ntimeout_s = 5\n'


def run(spool: Spool, channels: str, *arguments: str) -> Result:
    config = spool.root.parent / "triage.toml"
    config.write_text(f'[spool]\npath = "{spool.root}"\n[redis]\nsocket_path = "{spool.root.parent}/none"\n{channels}')
    return CliRunner().invoke(triage, ["--config", str(config), *arguments])


def test_destinations_are_listed_with_what_they_have(spool: Spool):
    port = free_port()
    assert "no destination is configured" in run(spool, "", "channel").output
    a_study(spool, "pacs")
    a_deliverer(spool, port).round()
    a_study(spool, "pacs")
    (row,) = (
        line for line in run(spool, SR.format(port=port), "channel").output.splitlines() if line.startswith("pacs")
    )

    assert "cannot connect" in row
    assert row.split()[1] == "sr"


def test_the_process_that_delivers_is_started_only_where_there_is_something_to_deliver_to():
    destination = {"name": "pacs", "host": "127.0.0.1", "port": 104, "called_ae_title": "PACS"}
    for destinations, started in (([], False), ([destination], True), ([{**destination, "enabled": False}], False)):
        redis = {"url": "unix:///nowhere/redis.sock"}
        settings = Settings.model_validate({"redis": redis, "channels": {"sr": destinations}})
        assert ("deliver 0" in [child.name for child in build(settings, {}, Mock()).children]) is started


def test_the_kill_switch_is_thrown_and_taken_back(spool: Spool):
    config = SR.format(port=1)
    outbox = Outbox(spool)
    assert "switched off" in run(spool, config, "channel", "pacs", "--disable").output
    assert outbox.disabled("pacs")
    assert "switched off" not in run(spool, config, "channel", "pacs", "--enable").output
    assert not outbox.disabled("pacs")
    assert run(spool, config, "channel", "nowhere", "--disable").exit_code == 1


def test_what_waits_for_a_destination_that_is_gone_is_listed_and_dropped(spool: Spool):
    study = a_study(spool, "pacs")
    deliverer = a_deliverer(spool, free_port())
    deliverer.build()
    marked = a_study(spool, "pacs")
    assert "not in the settings" in run(spool, "", "channel").output
    assert "2 forgotten" in run(spool, "", "channel", "pacs", "--drop").output

    assert states(deliverer, study) == [DeliveryState.DROPPED]
    assert not any(Outbox(spool).is_undelivered(uid) for uid in (study, marked))


def test_dead_letters_of_deliveries_are_shown_and_requeued(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp(0xC000) as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()
    shown = run(spool, "", "dead-letters").output
    assert "0xC000" in shown
    (key,) = (word for word in shown.split() if word.startswith("pacs/"))

    assert "1 deliveries" in run(spool, "", "dead-letters", "--requeue", key).output
    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert run(spool, "", "dead-letters", "--requeue", key).exit_code == 1
    assert "no dead letters" in run(spool, "", "dead-letters").output


def test_a_study_s_deliveries_are_explained(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp(0xC000) as scp:
        a_deliverer(spool, scp.port).round()
    Outbox(spool).mark(study, "pacs")
    page = run(spool, "", "explain", study).output

    assert "pacs 1: ABNORMAL, dead" in page
    assert "0xC000" in page
    assert "pacs: the present result is still to be looked at" in page


def test_a_pacs_is_tried_and_explained(spool: Spool):
    with store_scp() as scp:
        result = run(spool, SR.format(port=scp.port), "test-destination", "pacs")
    assert result.exit_code == 0
    assert "C-ECHO: succeeded" in result.output
    assert "Comprehensive 3D SR Storage: accepted" in result.output

    with store_scp(contexts=[]) as scp:
        result = run(spool, SR.format(port=scp.port), "test-destination", "pacs")
    assert "Comprehensive 3D SR Storage: REJECTED" in result.output

    result = run(spool, SR.format(port=free_port()), "test-destination", "pacs")
    assert result.exit_code == 1
    assert "cannot connect" in result.output
    assert run(spool, "", "test-destination", "pacs").exit_code == 78


def test_a_ris_is_tried_and_explained(spool: Spool):
    with mllp_listener(acknowledging("AA")) as listener:
        result = run(spool, HL7.format(port=listener.port), "test-destination", "ris")

    assert (result.exit_code, "AA (accepted)" in result.output) == (0, True)


def test_the_settings_in_force_are_printed_with_secrets_masked(spool: Spool):
    webhook = '[[channels.webhook]]\nname = "hook"\nurl = "https://example.org/"\nsecret = "sixteen characters"\n'
    printed = run(spool, SR.format(port=1) + HL7.format(port=2) + webhook, "up", "--print-config").output
    channels = tomllib.loads(printed)["channels"]

    assert "sixteen characters" not in printed
    channels["webhook"][0]["secret"] *= 2  # masked shorter than a secret may be
    assert [kind[0]["name"] for kind in channels.values()] == ["ris", "pacs", "hook"]
    assert Settings.model_validate({"channels": channels}).channels.hl7[0].port == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (SR.format(port=1) + HL7.format(port=1).replace("ris", "pacs"), "names of their own"),
        (SR.format(port=1) + "hots = 1\n", "hots"),
        (SR.format(port=1).replace("pacs", "My PACS"), "name"),
        (HL7.format(port=1) + 'character_set = "EBCDIC"\n', "character_set"),
        (HL7.format(port=1) + 'priority_in = "segment"\n', "need each other"),
        (HL7.format(port=1) + 'priority_in = "segment"\npriority_segment = "ZPR|{mood}"\n', "are known"),
        (HL7.format(port=1) + 'delivered = ["AE"]\nretried = ["AE"]\n', "both"),
        (HL7.format(port=1) + 'sending_application = "A|B"\n', "sending_application"),
    ],
)
def test_a_wrong_destination_is_refused_and_said(spool: Spool, text: str, named: str):
    result = run(spool, text, "channel")

    assert result.exit_code == 78
    assert named in result.output


def test_the_documentation_lists_every_setting_of_a_destination_and_its_examples_hold(spool: Spool):
    document = (ROOT / "docs" / "reference" / "channels.md").read_text()
    assert channels_reference() in document, "run: triage channel --reference, and paste it"
    examples = [block.partition("```")[0] for block in document.split("```toml\n")[1:]]
    assert len(examples) >= 4
    for example in examples:
        assert run(spool, example, "channel").exit_code == 0, example
