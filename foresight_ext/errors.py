"""The one exception a user's mistake raises; entry points turn it into a line and exit code 2."""


class UserError(Exception):
    """Bad input. The message is one line: the option or file, what was wrong, what is allowed."""
