"""The commands that start, check and stop things, as a user calls them."""

import tomllib
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.children import environment_of
from streamer.settings import Settings, TopicSettings, load

Captured = pytest.CaptureFixture[str]


def test_up_status_doctor_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("STREAMER_STACK__HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        status = main(words)
        return status, "".join(capsys.readouterr())

    assert call("status")[0] == 3
    assert call("doctor")[1].count("start one with `streamer up`") == 2
    try:
        status, text = call("up")
        assert status == 0
        assert f"created frames, partitions: {TopicSettings().partitions}" in text
        assert "streamer streams add" in text
        status, text = call("up")
        assert status == 0
        assert "created" not in text, "the second call finds all as it is"
        status, text = call("status")
        assert status == 0
        assert text.startswith("ready, up for ")
        status, text = call("doctor", "--role", "worker")
        assert status == 0, text
        status, text = call("topics", "check")
        assert (status, text) == (0, "all topics are as the settings want them\n")
        status, text = call("down", "--delete-data")
        assert (status, text) == (0, "stopped\n")
    finally:
        status, text = call("down")
    assert (status, text) == (0, "nothing was running\n")
    assert not (tmp_path / "kafka" / "data").exists()


@pytest.fixture
def environ(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for variable, value in environment_of(settings, {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_topics_deviate_and_are_mended(environ: pytest.MonkeyPatch, settings: Settings, capsys: Captured) -> None:
    prefix = settings.kafka.topic_prefix
    environ.setenv("STREAMER_TOPICS__FRAMES_RETENTION_S", "1200")
    environ.setenv("STREAMER_TOPICS__MAX_RECORD_BYTES", "1000000")
    environ.setenv("STREAMER_TOPICS__STREAM_PARTITIONS", "5")
    assert main(["topics", "check"]) == 1
    found = capsys.readouterr().out
    assert f"topic {prefix}frames has retention.ms = 600000, the settings say 1200000: run" in found
    assert f"topic {prefix}frames.dead has max.message.bytes = 8392704, the settings say 1004096: run" in found
    assert f"topic {prefix}streams has 4 partitions, the settings say 5: set topics.stream_partitions = 4" in found
    assert main(["topics", "create"]) == 1, "a partition count is never changed"
    found = capsys.readouterr().out
    assert f"set retention.ms=1200000, segment.ms=150000, max.message.bytes=1004096 on {prefix}frames" in found
    assert found.count("the settings say") == 1


def test_missing_topics_are_named(environ: pytest.MonkeyPatch, capsys: Captured) -> None:
    environ.setenv("STREAMER_KAFKA__TOPIC_PREFIX", "nowhere.")
    assert main(["doctor"]) == 1
    found = capsys.readouterr().out
    assert "bad   topic nowhere.frames is missing: run `streamer topics create`" in found
    assert "rights are missing" not in found


def test_a_shown_configuration_can_be_saved(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    given = {
        "STREAMER_KAFKA__SASL_PASSWORD": "s3cret",
        "STREAMER_KAFKA__SSL_CAFILE": '/ca with "quotes".pem',
        "STREAMER_REDIS__URL": "redis://user:s3cret@host/0",
        "STREAMER_DETECT__CLASSES": "person,traffic light",
        "STREAMER_DETECT__CLASS_CONFIDENCE": '{"traffic light" = 0.5}',
    }
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert '# sasl_password = "***"' in shown
    secrets = {"kafka": {"sasl_password": "s3cret"}, "redis": {"url": "redis://user:s3cret@host/0"}}
    read = tomllib.loads(shown)
    for section, values in secrets.items():
        read[section] |= values
    assert Settings.model_validate(read) == load()


def test_one_line_for_a_service_that_is_not_there(environ: pytest.MonkeyPatch, capsys: Captured) -> None:
    environ.setenv("STREAMER_KAFKA__BOOTSTRAP_SERVERS", "localhost:1")
    environ.setenv("STREAMER_KAFKA__CONNECT_TIMEOUT_S", "0.3")
    assert main(["topics", "check"]) == 3
    error = capsys.readouterr().err
    assert error == (
        "streamer topics: Kafka at localhost:1: nothing listens there: check kafka.bootstrap_servers, "
        "or start one with `streamer up`\n"
    )


def test_doctor_names_a_wrong_address_of_a_broker_and_of_redis(environ: pytest.MonkeyPatch, capsys: Captured) -> None:
    environ.setenv("STREAMER_DETECT__HEAD", "yolo")
    environ.setenv("STREAMER_KAFKA__CONNECT_TIMEOUT_S", "0.3")
    environ.setenv("STREAMER_KAFKA__BOOTSTRAP_SERVERS", "localhost:1")
    environ.setenv("STREAMER_REDIS__URL", "redis://localhost:1")
    assert main(["doctor"]) == 1
    found = capsys.readouterr().out
    assert "bad   Kafka at localhost:1: nothing listens there" in found
    assert "bad   Redis at redis://localhost:1: nothing listens there" in found
    assert "no head is called 'yolo'" in found


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor", "topics", "config"])
def test_help_shows_examples(command: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"  streamer {command}" in capsys.readouterr().out


def test_up_has_nothing_to_start_where_addresses_are_given(environ: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert main(["up"]) == 2
    assert "nothing to start" in capsys.readouterr().err
