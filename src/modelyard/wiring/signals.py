"""What whoever starts several gateways on one port tells them, beside SIGTERM; what they do, see the gateway's server."""

import signal

SPREAD = signal.SIGUSR2  # another one has come: let your callers come anew
LEAVE = signal.SIGUSR1  # you go, the others stay: end when nobody is left
LEAVE_S = 30.0  # so long it waits at most for callers to be gone
