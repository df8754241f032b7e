"""One HTML page about finished and unfinished runs: python -m foresight_ext.report FOLDER..."""

import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m foresight_ext.report", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point, user_path
from foresight_ext.errors import UserError
from foresight_ext.files import NO_ROOM


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write the report of some run folders; returns the exit code."""
    parser = Parser(
        "foresight_ext.report",
        "One HTML page about runs, side by side: settings, cells, scores of every decision, pool, benchmark, "
        "training, times. It needs no network and nothing else to be shown.",
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=user_path,
        metavar="FOLDER",
        help="a run folder, as the last line of a command names it; the run may be unfinished",
    )
    parser.option(
        "--out",
        type=user_path,
        default=None,
        metavar="FILE",
        help="the file to write; none means report.html in the first folder",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite a file that is no report of the same runs"
    )
    options = parser.parse_args(argv)
    from foresight_ext.report.page import write_report

    try:
        print(f"report: {write_report(options.folders, options.out, options.force)}")
    except OSError as error:
        if options.out is None or error.errno in NO_ROOM:
            raise
        raise UserError(f"--out '{options.out}' can't be written: {error.strerror}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
