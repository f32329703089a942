"""Work in forked children."""

import os
import signal
import traceback


def in_child(work):
    """Runs `work` in a forked child; whatever is raised there fails the test."""
    child = os.fork()
    if child == 0:
        # A hang ends by the alarm.
        signal.alarm(30)
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status == 0
