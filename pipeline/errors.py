"""What can end a command, and with which exit status."""


class UserError(Exception):
    """The user's mistake; the message says where, what is there, and what would be right. Exit status 2."""


class GuardrailStop(Exception):
    """A stage removed more than its guardrail allows, or a training diverged; the message says what was found. Exit status 3."""


class TaskFailed(Exception):
    """A task failed, not by the user nor by a document; the message names what it worked on. Exit status 1."""
