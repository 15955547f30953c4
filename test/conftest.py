"""Stands here so that the tests of every folder find the helpers of this one."""

import signal

# What a script starts in the background ignores SIGINT, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
