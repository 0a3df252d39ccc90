"""The cut that this folder's other tests rely on is a cut."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

TRY = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"


def test_nothing_outside_is_reached() -> None:
    with pytest.raises(OSError, match="the network is cut"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match="the network is cut"):
        socket.socket().connect_ex(("192.0.2.1", 80))


def test_nor_by_the_processes_that_tests_start(python: Callable[..., Any]) -> None:
    done = python(TRY)
    assert done.returncode == 1
    assert "the network is cut" in done.stderr


def test_this_machine_itself_is_reached() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=1) as client:
            assert client.getpeername() == server.getsockname()
