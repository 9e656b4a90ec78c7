"""CPU time of processes, as the kernel accounts it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_CPUCLOCK_SCHED = 2  # the kernel's number for a process's clock by the scheduler, to the nanosecond


def cpu_s(pid: int) -> float:
    """User and system time of a running process, its threads included, in seconds."""
    # clock_getcpuclockid(3), which Python lacks; /proc counts in hundredths of a second, half a run's differences.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


@dataclass
class Part:
    """One `streamer ...` process of the service, with its own /metrics."""

    process: "subprocess.Popen[bytes]"
    port: int
    total_cpu_s: float | None = None

    @classmethod
    def start(cls, arguments: list[str], environment: Mapping[str, str], command: Sequence[str] = ()) -> Self:
        """Starts it; by another command than `streamer ARGUMENTS` if one is given."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        variables = {**environment, "STREAMER_TELEMETRY__PORT": str(port), "STREAMER_TELEMETRY__LOG_LEVEL": "WARNING"}
        process = subprocess.Popen(command or [sys.executable, "-m", "streamer", *arguments], env=variables)
        return cls(process, port)

    def cpu_s(self) -> float:
        """CPU time until now, or until it ended."""
        if not self.has_ended():
            return cpu_s(self.process.pid)
        assert self.total_cpu_s is not None
        return self.total_cpu_s

    def has_ended(self) -> bool:
        """Whether it is over."""
        if self.total_cpu_s is None:
            # Not by subprocess: only wait4 tells the CPU time of what has ended.
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.total_cpu_s = usage.ru_utime + usage.ru_stime
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.total_cpu_s is not None

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels; 0 before it is there."""
        return self.metrics(name)[0]

    def metrics(self, *names: str) -> list[float]:
        """Several of the same moment: an answer costs the process milliseconds."""
        samples = self._samples()
        return [sum(sample.value for sample in samples if sample.name == name) for name in names]

    def means_ms(self, histogram: str, label: str) -> dict[str, float]:
        """The mean of a histogram of seconds by one of its labels, where it has counted anything."""
        values = {(sample.name, sample.labels.get(label)): sample.value for sample in self._samples()}
        counts = {named: count for (name, named), count in values.items() if name == f"{histogram}_count" and count}
        return {named: values[f"{histogram}_sum", named] / count * 1000 for named, count in counts.items() if named}

    def _samples(self) -> list[Sample]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Until /readyz says so."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Tells it to stop and waits."""
        deadline = time.monotonic() + 20
        if not self.has_ended():
            os.kill(self.process.pid, signal.SIGTERM)
        while not self.has_ended():
            if time.monotonic() > deadline:
                os.kill(self.process.pid, signal.SIGKILL)
            time.sleep(0.02)
