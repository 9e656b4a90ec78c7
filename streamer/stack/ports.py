"""Free ports on the loopback."""

import socket
from contextlib import ExitStack

from streamer.errors import ServiceError


def free_ports(wanted: tuple[int, ...]) -> list[int]:
    """A free port for each wanted one: that one if it is free, so that addresses survive a restart."""
    with ExitStack() as held:
        # All are held until all are chosen, else one could be chosen twice.
        return [held.enter_context(_hold(port)).getsockname()[1] for port in wanted]


def _hold(port: int) -> socket.socket:
    for choice in (port, 0):
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", choice))
            return holder
        except OSError:
            holder.close()
    raise ServiceError("this machine has no free port left")
