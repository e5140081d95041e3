"""Carries out trainings on real processes, one after another: `python reshard.py REQUEST.json RESULT.json`.

The request is a list of [output, processes, settings, bytes]: `bytes`, if any, is how long a file of the last process may get.
The result is, for each, what every process was ended by: [name, message], or null.
"""

import json
import os
import resource
import socket
import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint
import torch.distributed.tensor

from gristmill.trainer.train import train


def process(rank, size, port, output, sets, limit):
    """One process of a training; returns what ended it."""
    if size > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if limit and rank == size - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    torch.set_num_threads(1)
    try:
        train("tiny", sets, output)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def main(request, result):
    """Carry out a request."""
    told = []
    for output, size, sets, limit in json.loads(Path(request).read_text()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pipes = []
        for rank in range(size):
            reading, writing = os.pipe()
            if not os.fork():
                os.write(writing, json.dumps(process(rank, size, port, output, sets, limit)).encode())
                os._exit(0)
            os.close(writing)
            pipes.append(reading)
        told.append([json.loads(os.fdopen(one).read() or '["died", ""]') for one in pipes])
        for _ in pipes:
            os.wait()
    Path(result).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
