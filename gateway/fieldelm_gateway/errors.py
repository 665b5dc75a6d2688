"""Errors of the gateway: transient ones pass by themselves, permanent ones need a person.

The text is one line that says what is wrong, where, and the mend; `exit_code` is what the command ends with.
"""


class GatewayError(Exception):
    """Base of all."""

    exit_code = 1


class TransientError(GatewayError):
    """Something is away for now; the gateway tries again."""


class DatabaseUnavailableError(TransientError):
    """The database cannot be written right now: locked, full, read-only."""


class RadioLostError(TransientError):
    """The modem or the air server does not answer."""


class BrokerLostError(TransientError):
    """The broker is out of reach, or refuses us."""


class PermanentError(GatewayError):
    """Trying again does not help."""


class DatabaseError(PermanentError):
    """The database is damaged, foreign, or made by a newer version."""


class DamagedError(DatabaseError):
    """The database's content is broken."""


class WrongDatabaseError(DatabaseError):
    """[database] path names something that is not, and cannot become, the gateway's database."""

    exit_code = 2


class UsageError(PermanentError):
    """What the user typed or wrote cannot be done."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration has an unknown key or a wrong value."""


class RequestError(PermanentError):
    """A request that cannot be carried out; the text goes back to whoever asked."""
