"""Errors that are meant for the person at the terminal.

The command prints any exception that has an integer attribute `exit_code` as one line on standard error and exits with
that code. The text says what is wrong, where, and the mend.
"""


class FieldelmError(Exception):
    """The work failed: exit code 1."""

    exit_code = 1


class UsageError(FieldelmError):
    """A wrong option, file or configuration: exit code 2."""

    exit_code = 2


class SetupError(UsageError):
    """Something that set-up provides is missing: exit code 2."""
