"""Zero-Cost-PT on the DARTS spaces S1 to S6: python -m sota.cnn.networks_proposal --help."""

import sys
from collections.abc import Sequence

from foresight_ext.cli import Parser, add_pipeline_options, console_log, entry_point, whole_number
from sota.cnn.spaces import SPACES


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search and validate; returns the exit code."""
    from foresight_ext.pipeline import Pipeline
    from sota.cnn.space import DartsSpace

    parser = Parser("sota.cnn.networks_proposal", "Zero-Cost-PT on a DARTS space: search, then validation.")
    add_pipeline_options(parser, batch_size=64, seed=2)
    parser.option("--space", choices=tuple(SPACES), default="s5", help="the search space")
    parser.option(
        "--search_channels",
        type=whole_number(1),
        default=16,
        help="channels of the supernet's and the validation networks' first cells",
    )
    parser.option(
        "--search_layers",
        type=whole_number(3),
        default=8,
        help="cells of the supernet and of the validation networks",
    )
    options = parser.parse_args(argv)
    space = DartsSpace(options.space, options.search_channels, options.search_layers)
    with console_log():
        return Pipeline(space, options).run()


if __name__ == "__main__":
    sys.exit(main())
