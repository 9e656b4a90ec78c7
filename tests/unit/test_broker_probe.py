"""The probe's parts that need no broker; the rest is tested against a real one."""

import socket

import pytest

from streamer.broker_probe import Refusal, refusal, split_address
from streamer.broker_wire import scram_proof
from streamer.settings import KafkaSettings


def test_scram_proof_is_that_of_rfc_7677() -> None:
    first = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert scram_proof("sha256", "pencil", first, challenge) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("host:9093", ("host", 9093)),
        ("host", ("host", 9092)),
        ("[::1]:9093", ("::1", 9093)),
        ("[::1]", ("::1", 9092)),
    ],
)
def test_addresses(server: str, expected: tuple[str, int]) -> None:
    assert split_address(server) == expected


@pytest.mark.parametrize("server", ["host:", "host:port", ":9092", "host:70000", ""])
def test_addresses_that_are_none(server: str) -> None:
    with pytest.raises(Refusal, match="is not host:port"):
        split_address(server)


def test_a_port_that_never_answers_may_answer_later() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{silent.getsockname()[1]}")
        why = refusal(kafka, None, timeout_s=0.05)
    assert why
    assert "does not answer: is this a Kafka broker's port?" in str(why)
    assert not why.lasting


def test_a_refusal_says_more_than_a_broker_that_is_down() -> None:
    why = refusal(KafkaSettings(bootstrap_servers="127.0.0.1:1,nonsense:port"), None, timeout_s=0.05)
    assert why
    assert why.lasting
    assert "'nonsense:port'" in str(why)
