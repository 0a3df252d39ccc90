"""Parts of C kernels on several cores: what is promised of memory when something goes wrong."""

from __future__ import annotations

import os
import time
from threading import Event, get_ident

import pytest

from tamis.kernels.native import parallel


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "threads", lambda: 2)
    parallel._pool.cache_clear()


def meet() -> None:
    """Two parts that wait for each other: done only if they run at once."""
    both = [Event(), Event()]

    def arrives(own: int) -> None:
        both[own].set()
        assert both[1 - own].wait(10)

    parallel.run([lambda: arrives(0), lambda: arrives(1)])


def test_a_failure_is_raised_when_nothing_runs_any_more() -> None:
    begun, ended = Event(), Event()

    def fails() -> None:
        begun.wait(10)
        raise ValueError("a part failed")

    def goes_on() -> None:
        begun.set()
        time.sleep(0.1)
        ended.set()

    with pytest.raises(ValueError, match="a part failed"):
        parallel.run([fails, goes_on])
    assert ended.is_set()  # else it would write to memory that the caller has freed


def test_parts_run_at_once_and_alone_ones_here() -> None:
    meet()
    ran_in: list[int] = []
    parallel.run([lambda: ran_in.append(get_ident())])
    assert ran_in == [get_ident()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    meet()
    time.sleep(0.1)  # both threads are idle now, and stay behind
    child = os.fork()
    if not child:
        done: list[int] = []
        parallel.run([lambda: done.append(1), lambda: done.append(1)])
        os._exit(len(done))
    for _ in range(50):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process waits for threads that it does not have")
    assert os.waitstatus_to_exitcode(status) == 2
