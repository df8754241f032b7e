"""The one exception a user's mistake raises; entry points turn it into a line and exit code 2."""


class UserError(Exception):
    """Bad input. The message is one line: the option or file, what was wrong, what is allowed."""


def reason(error: BaseException) -> str:
    """What an exception says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
