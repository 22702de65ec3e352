"""Calls of a device library: one thread, a deadline, and nobody waits behind a device that hangs."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from gateway.keyring.device_thread import DeviceLateError, DeviceThread, thread_of

LONG_S = 60.0


def test_a_call_gives_back_what_the_work_gives_or_raises() -> None:
    thread = DeviceThread("device")

    assert thread.call(lambda: 7, timeout_s=LONG_S) == 7
    with pytest.raises(TimeoutError, match="of the device itself"):
        thread.call(lambda: fail(TimeoutError("of the device itself")), timeout_s=LONG_S)
    with pytest.raises(KeyError, match="as well"):
        thread.call(lambda: fail(KeyError("of it as well")), timeout_s=LONG_S)


def fail(error: Exception) -> None:
    raise error


def test_all_calls_are_made_in_one_thread() -> None:
    thread = DeviceThread("device")
    found: list[threading.Thread] = []

    def look() -> None:
        found.append(thread.call(threading.current_thread, timeout_s=LONG_S))

    callers = [threading.Thread(target=look) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len(found) == 4
    assert len(set(found)) == 1
    assert found[0].daemon


def test_a_device_that_hangs_holds_up_one_call_and_no_other_until_it_answers() -> None:
    thread = DeviceThread("device")
    answer, ended = threading.Event(), threading.Event()

    def hang() -> None:
        answer.wait(LONG_S)
        ended.set()

    with pytest.raises(DeviceLateError):
        thread.call(hang, timeout_s=0.05)
    # At once, however long the wait may be.
    with pytest.raises(DeviceLateError):
        thread.call(lambda: 7, timeout_s=LONG_S * 100)

    answer.set()
    assert ended.wait(LONG_S)
    while True:
        try:
            assert thread.call(lambda: 7, timeout_s=LONG_S) == 7
        except DeviceLateError:
            continue  # the thread has not yet said that the call is over
        break


def test_a_call_that_was_given_up_before_it_began_is_not_made() -> None:
    thread = DeviceThread("device")
    begun, answer = threading.Event(), threading.Event()
    made: list[int] = []

    def hang() -> None:
        begun.set()
        answer.wait(LONG_S)

    first = threading.Thread(target=lambda: thread.call(hang, timeout_s=LONG_S))
    first.start()
    assert begun.wait(LONG_S)
    with pytest.raises(DeviceLateError):
        thread.call(lambda: made.append(1), timeout_s=0.05)
    answer.set()
    first.join()

    assert thread.call(lambda: list(made), timeout_s=LONG_S) == []


def test_a_module_has_one_thread_in_a_process() -> None:
    assert thread_of("/one.so") is thread_of("/one.so")
    assert thread_of("/one.so") is not thread_of("/other.so")


def test_a_fork_does_not_use_the_library_of_its_parent() -> None:
    program = """
import os
from gateway.keyring.device_thread import DeviceThread, ForkedError
thread = DeviceThread("device")
assert thread.call(lambda: 7, timeout_s=60) == 7
child = os.fork()
if child == 0:
    try:
        thread.call(lambda: 7, timeout_s=60)
    except ForkedError:
        os._exit(42)
    os._exit(1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "42"
