"""`python -m gristmill.pipeline` is `gristmill`, so that torchrun can start it: `torchrun -m gristmill.pipeline train ...`."""

from gristmill.pipeline.cli import main

main()
