"""Kafka as one process, broker and controller (KRaft): its files, its command."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from streamer.errors import ServiceError

# C1 compiles alone and the heap is small: ready in seconds beside the programs that it is there for.
JVM_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true")
LOG = "kafka.log"

_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    # One broker: every internal topic has one replica, and few partitions start and stop faster.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A dead worker's transaction holds every reader of committed records until this scan finds it.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After a crash the controller lets the broker in again when its last session has run out (9 s by default).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # Frames are many: what retention allows to go, goes soon.
    "log.retention.check.interval.ms": "30000",
    "log.segment.delete.delay.ms": "5000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

_LOG4J = f"""<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="file" fileName="{LOG}" filePattern="{LOG}.%i">
      <PatternLayout pattern="%d{{ISO8601}} %p %c{{1}} %m%n"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Logger name="kafka.server.KafkaConfig" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""


def properties(port: int, controller_port: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The broker's settings; `extra` wins."""
    addresses = {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
    }
    return {**_PROPERTIES, **addresses, **(extra or {})}


def write_files(folder: Path, settings: Mapping[str, str]) -> None:
    """Writes server.properties and the log's settings. Paths in them are relative to `folder`."""
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    (folder / "server.properties").write_text(text, encoding="ascii")
    (folder / "log4j2.xml").write_text(_LOG4J, encoding="ascii")


def java_command(java: Path, jars: list[Path], heap_mb: int, main: str) -> list[str]:
    """Runs `main` in the folder that write_files filled."""
    class_path = ":".join(map(str, jars))
    flags = [f"-Xmx{heap_mb}m", *JVM_FLAGS, "-Dlog4j2.configurationFile=log4j2.xml"]
    return [str(java), *flags, "-cp", class_path, main]


def format_storage(folder: Path, java: Path, jars: list[Path], arguments: tuple[str, ...] = ()) -> None:
    """Makes the data folder once; a formatted one is left alone.

    Raises:
        ServiceError: Kafka's tool failed.
    """
    if (folder / "data" / "meta.properties").exists():
        return
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = java_command(java, jars, 128, "kafka.tools.StorageTool")
    # With =, because one random id in 64 begins with a dash and would be taken for an option.
    command += ["format", f"--cluster-id={cluster}", "-c", "server.properties", *arguments]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if answer.returncode:
        last = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        raise ServiceError(f"Kafka's data folder {folder / 'data'} could not be made: {' '.join(last)}")
