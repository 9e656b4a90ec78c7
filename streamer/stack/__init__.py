"""A real Kafka and a real Redis on this machine, from packages alone: for trying, for tests, for small sites.

Loopback only and without logins: everyone who has an account on this machine can read it.
"""

from streamer.stack.stack import Addresses, Stack, Status, with_stack_addresses

__all__ = ["Addresses", "Stack", "Status", "with_stack_addresses"]
