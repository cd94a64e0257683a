"""What the commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import a_decision, an_instance
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from triage.commands.output.explain import print_explanation
from triage.commands.output.models import show_models
from triage.decision.records import to_record
from triage.operations.dead_letters import requeue
from triage.queue.score_queue import ScoreQueue
from triage.settings.sections import ModelSettings
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

TIMEOUT_S = 5.0


def a_dead_letter(spool: Spool, sop: str = "1.2.3.4") -> ReceivedInstance:
    instance = an_instance(sop=sop)
    part = spool.new_part()
    with part.open("wb") as file:
        file.write(b"pixels")
        file.flush()
        spool.receive(part, file.fileno(), instance)
    spool.bury(instance, {"error": "it failed", "tries": 3, "buried_at": 1.0})
    return instance


def test_requeued_dead_letters_are_in_the_inbox_and_the_queue(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = a_dead_letter(spool), a_dead_letter(spool, "1.2.3.5")
    requeue(spool, redis_server.url, TIMEOUT_S, [first.key])
    assert list(spool.waiting()) == [first]
    requeue(spool, redis_server.url, TIMEOUT_S, None)
    assert set(spool.waiting()) == {first, second}
    assert not list(spool.dead_letters())
    with redis_server.client() as client:
        assert ScoreQueue(client).depth() == 2
    assert capsys.readouterr().out == "1 queued again\n1 queued again\n"
    with pytest.raises(FileNotFoundError):
        requeue(spool, redis_server.url, TIMEOUT_S, [first.key])
    with pytest.raises(ValueError, match="key"):
        requeue(spool, redis_server.url, TIMEOUT_S, ["no such thing"])


def test_without_redis_dead_letters_wait_for_the_sweep(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = a_dead_letter(spool)
    redis_server.kill()
    requeue(spool, redis_server.url, TIMEOUT_S, None)
    assert list(spool.waiting()) == [instance]
    assert "the next sweep" in capsys.readouterr().out


def test_a_study_is_explained_with_and_without_redis(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    spool.write_decision("1.2.3", to_record(a_decision()))
    print_explanation("1.2.3", spool, redis_server.url, TIMEOUT_S)
    redis_server.kill()
    print_explanation("1.2.3", spool, redis_server.url, TIMEOUT_S)
    assert capsys.readouterr().out.count("Study 1.2.3") == 2
    with pytest.raises(LookupError):
        print_explanation("1.2.99", spool, redis_server.url, TIMEOUT_S)


def test_models_are_listed_with_what_keeps_them_from_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("here", "off", "shadowed", "broken"):
        write_model(tmp_path, name)
    write_model(tmp_path, "shown", demo=True)
    (tmp_path / "broken" / "model.onnx").write_bytes(b"another")
    show_models(ModelSettings(path=tmp_path, shadow=("shadowed",)), frozenset({"off"}))
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["here"].split()[-2:] == ["in", "service"]
    assert rows["off"].split()[-2:] == ["switched", "off"]
    assert rows["shadowed"].split()[-2:] == ["in", "shadow"]
    assert "demonstration" in rows["shown"]
    assert "refused" in rows["broken"]
    show_models(ModelSettings(path=tmp_path / "nowhere"), frozenset())
    assert "no model" in capsys.readouterr().out
