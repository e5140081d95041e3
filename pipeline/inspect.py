"""Looking inside a finished run."""

from gristmill.pipeline.funnel import funnel, print_funnel
from gristmill.pipeline.sample import print_sample, sample
from gristmill.pipeline.whatif import print_whatif, whatif
from gristmill.pipeline.why import print_why, why

__all__ = ["funnel", "print_funnel", "print_sample", "print_whatif", "print_why", "sample", "whatif", "why"]
