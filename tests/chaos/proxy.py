"""A TCP proxy whose wire can be cut: what goes through it stands still, or is reset, while both ends live."""

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 1 << 16
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # linger for no time: what is closed is reset


class Proxy:
    """Passes connections from a port of this machine on to another. `cut`, `reset` and `mend` from any thread."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.socket()
        self._whole = threading.Event()
        self._whole.set()
        self._closing = self._refusing = False
        self._resets = 0
        self._sockets: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._whole.set()
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """Nothing goes through any more, in either direction; no connection ends, as with an unplugged cable."""
        self._whole.clear()

    def reset(self) -> None:
        """Every connection is reset, and so is each new one, as by a firewall that has forgotten them all."""
        self._refusing = True
        self._resets += 1

    def mend(self) -> None:
        """What was cut goes on where it stood; new connections get through."""
        self._refusing = False
        self._whole.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    if self._refusing:
                        raise ConnectionRefusedError
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # the target may be down, too
                    _reset(client)
                    continue
                self._sockets += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server), name="wire", daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        other, resets = {client: server, server: client}, self._resets
        with suppress(OSError), client, server:
            while not self._closing:
                for source in select.select([client, server], [], [], 0.1)[0]:
                    self._whole.wait()
                    if self._resets == resets:
                        data = source.recv(_CHUNK)
                        if not data:
                            return
                        other[source].sendall(data)
                if self._resets != resets:
                    _reset(client)
                    _reset(server)
                    return


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    connection.close()
