"""The options that the DARTS pipelines share."""

from foresight_ext.commands.parser import Parser, whole_number
from sota.cnn.candidates import CANDIDATES
from sota.cnn.settings import SearchSkeleton


def add_space_options(parser: Parser) -> None:
    """Which of the spaces S1 to S6, and the size of its supernet."""
    parser.option("--space", choices=tuple(CANDIDATES), default="s5", help="the search space")
    add_size_options(parser, SearchSkeleton())


def add_size_options(parser: Parser, usual: SearchSkeleton) -> None:
    """The size of the supernet and of networks that are scored."""
    parser.option(
        "--search_channels",
        type=whole_number(1),
        default=usual.search_channels,
        help="channels of the supernet's and the validation networks' first cells",
    )
    parser.option(
        "--search_layers",
        type=whole_number(3),
        default=usual.search_layers,
        help="cells of the supernet and of the validation networks",
    )
