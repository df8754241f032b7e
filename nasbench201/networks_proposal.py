"""Zero-Cost-PT on NAS-Bench-201: python -m nasbench201.networks_proposal --help."""

import sys
from collections.abc import Sequence

from foresight_ext.cli import Parser, add_pipeline_options, console_log, entry_point, user_path, whole_number
from nasbench201.benchmark import DATA_FOLDER, PTH_NAMES, Benchmark, find_benchmark


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate, look the answer up in the benchmark; returns the exit code."""
    from foresight_ext.pipeline import Pipeline
    from nasbench201.space import NASBench201Space

    parser = Parser(
        "nasbench201.networks_proposal", "Zero-Cost-PT on NAS-Bench-201: search, then validation."
    )
    add_pipeline_options(parser, batch_size=256)
    parser.option("--init_channels", type=whole_number(1), default=16, help="channels of the first cells (C)")
    parser.option("--cells", type=whole_number(1), default=5, help="cells in each of the three stages (N)")
    parser.option(
        "--benchmark",
        type=user_path,
        default=None,
        metavar="FILE",
        help=f"a NAS-Bench-201 .pth or .csv; none means what lies in {DATA_FOLDER}",
    )
    options = parser.parse_args(argv)
    space = NASBench201Space(options.init_channels, options.cells)
    missing = (
        f"put {' or '.join(PTH_NAMES)} or a *nasbench201*.csv into {DATA_FOLDER}, or give --benchmark FILE"
    )
    with console_log():
        path = find_benchmark(options.benchmark)
        answer = Benchmark.open(path).query if path is not None else None
        return Pipeline(space, options, answer, missing).run()


if __name__ == "__main__":
    sys.exit(main())
