"""Signals to commands: each is started as from a terminal, and Ctrl-C goes to it and to all that it has started."""

import os
import signal
import subprocess
import time

import psutil


def begun(command, **how):
    """A process that heeds the signals of a terminal, also where the tests were started to ignore them, as `nohup` does."""

    def heed():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed, **how
    )


def interrupted(command, is_ready, pause=0.0):
    """Start a command, and interrupt it `pause` seconds after `is_ready()`.

    Returns the process, which has ended, what it wrote to its output and to its errors, and the processes that it had started.
    """
    running = begun(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not is_ready():
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        time.sleep(pause)
        children = psutil.Process(running.pid).children(recursive=True)
        os.killpg(running.pid, signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    return running, output, errors, children
