"""What every worker process of ours does before its first task."""

import signal


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the driver: the terminal sends it to all processes, and the driver stops the workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
