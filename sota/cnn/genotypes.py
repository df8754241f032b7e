"""The reported DARTS architectures by name; paste your own anywhere: MY_ARCH = Genotype(normal=[...], ...).

Print them with their parameters and multiply-adds: python -m sota.cnn.genotypes [NAME|FOLDER|FILE.json ...]
"""

import difflib
import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.genotypes", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST, find_network
from sota.cnn.architectures import Architectures
from sota.cnn.candidates import CANDIDATES, CONCAT, OPERATIONS
from sota.cnn.notation import (
    Genotype,
    check_genotype,
    differences,
    format_genotype,
    parse_genotype,
    parse_pasted,
)

__all__ = [
    "ARCHITECTURES",
    "CONCAT",
    "OPERATIONS",
    "Genotype",
    "check_genotype",
    "find_genotype",
    "format_genotype",
    "parse_genotype",
]


# Paste an architecture anywhere in this file, as MY_ARCH = Genotype(normal=[...], ...): it is known by its
# variable's name. The tables below are the reported ones; they can be imported by name as well.
ARCHITECTURES = Architectures("architecture", globals())


def __getattr__(name: str) -> Genotype:
    if name in ARCHITECTURES:
        return ARCHITECTURES.get(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# A line with the name, then a line for each of the nodes 0 to 3: two operation@input of the normal cell | two
# of the reduction cell. Inputs 0 and 1 are the outputs of the last cell but one and of the last cell; 2, 3,
# 4 are the nodes 0, 1, 2. In names, N is the number of discretisations and V that of validation rounds.

# Spaces S1 to S4 on CIFAR-10: init_pt_<space>_C10_<seed>
ARCHITECTURES.add(
    """
    init_pt_s1_C10_0
        dil_conv_3x3@0 dil_conv_5x5@1 | avg_pool_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@1 dil_conv_3x3@2 | avg_pool_3x3@1 skip_connect@2
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_3x3@2
        sep_conv_3x3@0 dil_conv_3x3@4 | dil_conv_5x5@2 dil_conv_5x5@4
    init_pt_s1_C10_2
        skip_connect@0 dil_conv_5x5@1 | max_pool_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@1 dil_conv_3x3@2 | max_pool_3x3@0 avg_pool_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_5x5@3
        sep_conv_3x3@0 dil_conv_5x5@4 | dil_conv_5x5@3 dil_conv_5x5@4
    init_pt_s2_C10_0
        sep_conv_3x3@0 skip_connect@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | skip_connect@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s2_C10_2
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 skip_connect@1
        skip_connect@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@4 | skip_connect@0 skip_connect@1
    init_pt_s3_C10_0
        sep_conv_3x3@0 skip_connect@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | skip_connect@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s3_C10_2
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        skip_connect@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_C10_0
        sep_conv_3x3@0 noise@1        | sep_conv_3x3@0 sep_conv_3x3@1
        noise@1        sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_C10_2
        sep_conv_3x3@0 noise@1        | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 noise@2        | sep_conv_3x3@1 noise@2
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    """
)

# Spaces S1 to S4 on CIFAR-100: init_pt_<space>_C100_<seed>
ARCHITECTURES.add(
    """
    init_pt_s1_C100_0
        dil_conv_3x3@0 dil_conv_5x5@1 | avg_pool_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@1 dil_conv_3x3@2 | avg_pool_3x3@0 dil_conv_5x5@2
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_3x3@2
        sep_conv_3x3@0 dil_conv_3x3@4 | avg_pool_3x3@1 dil_conv_5x5@2
    init_pt_s1_C100_2
        dil_conv_3x3@0 dil_conv_5x5@1 | avg_pool_3x3@0 dil_conv_3x3@1
        dil_conv_5x5@0 sep_conv_3x3@1 | avg_pool_3x3@1 dil_conv_5x5@2
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_5x5@3
        sep_conv_3x3@0 dil_conv_3x3@4 | dil_conv_5x5@3 dil_conv_5x5@4
    init_pt_s2_C100_0
        skip_connect@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | skip_connect@0 skip_connect@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s2_C100_2
        skip_connect@0 sep_conv_3x3@1 | skip_connect@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s3_C100_0
        skip_connect@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@1 | skip_connect@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s3_C100_2
        sep_conv_3x3@0 sep_conv_3x3@1 | skip_connect@0 skip_connect@1
        skip_connect@0 sep_conv_3x3@2 | sep_conv_3x3@0 skip_connect@1
        sep_conv_3x3@1 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_C100_0
        sep_conv_3x3@0 noise@1        | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 noise@2        | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_C100_2
        noise@0        sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        noise@0        sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    """
)

# Spaces S1 to S4 on SVHN: init_pt_<space>_svhn_<seed>
ARCHITECTURES.add(
    """
    init_pt_s1_svhn_0
        dil_conv_3x3@0 dil_conv_5x5@1 | avg_pool_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@1 dil_conv_3x3@2 | avg_pool_3x3@1 dil_conv_5x5@2
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_5x5@3
        sep_conv_3x3@0 dil_conv_3x3@3 | dil_conv_5x5@2 dil_conv_5x5@4
    init_pt_s1_svhn_2
        dil_conv_3x3@0 dil_conv_5x5@1 | max_pool_3x3@0 dil_conv_3x3@1
        dil_conv_5x5@0 sep_conv_3x3@1 | max_pool_3x3@0 dil_conv_5x5@2
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 dil_conv_5x5@3
        sep_conv_3x3@0 dil_conv_3x3@3 | avg_pool_3x3@0 dil_conv_5x5@3
    init_pt_s2_svhn_0
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | skip_connect@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s2_svhn_2
        skip_connect@0 sep_conv_3x3@1 | skip_connect@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 skip_connect@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s3_svhn_0
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s3_svhn_2
        skip_connect@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 skip_connect@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_svhn_0
        noise@0        sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 noise@2        | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@1 noise@3
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s4_svhn_2
        sep_conv_3x3@0 noise@1        | sep_conv_3x3@0 sep_conv_3x3@1
        noise@0        sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@2 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_3x3@1
    """
)

# Space S5 on CIFAR-10, the main result: init_pt_s5_C10_<seed>_<V>_N<N>
ARCHITECTURES.add(
    """
    init_pt_s5_C10_0_100_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_5x5@1 sep_conv_3x3@3
        sep_conv_5x5@2 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_1_100_N10
        skip_connect@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | skip_connect@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_2_100_N10
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_3x3@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@2
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_3_100_N10
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    """
)

# The same with edges in a global order instead of a random one: global_pt_s5_C10_<seed>_<V>_N<N>
ARCHITECTURES.add(
    """
    global_pt_s5_C10_0_100_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_5x5@1 sep_conv_5x5@4
    global_pt_s5_C10_1_100_N10
        skip_connect@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@1 sep_conv_3x3@2
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@1 sep_conv_5x5@3
        sep_conv_3x3@0 sep_conv_3x3@4 | sep_conv_5x5@0 sep_conv_3x3@1
    global_pt_s5_C10_2_100_N10
        skip_connect@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@2 | skip_connect@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_5x5@3 | sep_conv_5x5@0 dil_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_5x5@1
    global_pt_s5_C10_3_100_N10
        skip_connect@0 sep_conv_5x5@1 | dil_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    """
)

# Baseline on S5 and CIFAR-10, a pool of random architectures, validated: sample_<pool>_<seed>
ARCHITECTURES.add(
    """
    sample_2500_0
        dil_conv_5x5@0 dil_conv_5x5@1 | dil_conv_3x3@0 dil_conv_3x3@1
        dil_conv_5x5@0 skip_connect@1 | dil_conv_5x5@1 sep_conv_5x5@2
        sep_conv_3x3@2 sep_conv_3x3@3 | skip_connect@0 sep_conv_3x3@3
        sep_conv_5x5@2 dil_conv_3x3@4 | sep_conv_5x5@0 dil_conv_5x5@3
    sample_2500_1
        skip_connect@0 skip_connect@1 | sep_conv_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_5x5@0 avg_pool_3x3@2
        dil_conv_5x5@1 sep_conv_5x5@2 | dil_conv_5x5@1 dil_conv_5x5@2
        sep_conv_3x3@1 dil_conv_3x3@2 | dil_conv_5x5@0 sep_conv_3x3@4
    sample_2500_2
        dil_conv_5x5@0 dil_conv_3x3@1 | dil_conv_3x3@0 avg_pool_3x3@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_5x5@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_3x3@2 | sep_conv_3x3@0 dil_conv_5x5@2
        sep_conv_3x3@2 sep_conv_5x5@3 | dil_conv_5x5@0 dil_conv_5x5@2
    sample_2500_3
        sep_conv_3x3@0 dil_conv_3x3@1 | skip_connect@0 dil_conv_3x3@1
        sep_conv_5x5@1 dil_conv_3x3@2 | dil_conv_5x5@0 max_pool_3x3@1
        sep_conv_5x5@0 sep_conv_3x3@2 | avg_pool_3x3@0 max_pool_3x3@1
        dil_conv_3x3@0 dil_conv_3x3@1 | avg_pool_3x3@1 skip_connect@3
    sample_20000_0
        skip_connect@0 dil_conv_3x3@1 | skip_connect@0 sep_conv_5x5@1
        sep_conv_5x5@1 skip_connect@2 | dil_conv_5x5@0 skip_connect@1
        dil_conv_5x5@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@2
        sep_conv_5x5@2 dil_conv_5x5@4 | dil_conv_5x5@0 sep_conv_5x5@4
    sample_20000_1
        skip_connect@0 skip_connect@1 | sep_conv_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_5x5@0 avg_pool_3x3@2
        dil_conv_5x5@1 sep_conv_5x5@2 | dil_conv_5x5@1 dil_conv_5x5@2
        sep_conv_3x3@1 dil_conv_3x3@2 | dil_conv_5x5@0 sep_conv_3x3@4
    sample_20000_2
        skip_connect@0 sep_conv_5x5@1 | dil_conv_5x5@0 dil_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@2 | skip_connect@0 max_pool_3x3@1
        dil_conv_5x5@0 sep_conv_3x3@3 | sep_conv_5x5@0 dil_conv_5x5@1
        sep_conv_5x5@1 sep_conv_3x3@3 | sep_conv_3x3@1 dil_conv_3x3@3
    sample_20000_3
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_5x5@0 dil_conv_5x5@1
        skip_connect@0 dil_conv_3x3@2 | dil_conv_5x5@0 dil_conv_5x5@2
        dil_conv_3x3@1 sep_conv_5x5@3 | sep_conv_3x3@0 sep_conv_5x5@2
        sep_conv_5x5@0 sep_conv_5x5@1 | dil_conv_3x3@1 sep_conv_3x3@2
    sample_50000_0
        skip_connect@0 sep_conv_5x5@1 | max_pool_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_3x3@2 | avg_pool_3x3@0 dil_conv_3x3@1
        sep_conv_3x3@0 skip_connect@2 | sep_conv_5x5@0 dil_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | dil_conv_5x5@0 max_pool_3x3@1
    sample_50000_1
        dil_conv_3x3@0 sep_conv_3x3@1 | dil_conv_3x3@0 dil_conv_5x5@1
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_3x3@0 skip_connect@1
        sep_conv_5x5@1 sep_conv_5x5@3 | sep_conv_5x5@0 max_pool_3x3@1
        sep_conv_5x5@1 dil_conv_3x3@2 | dil_conv_3x3@1 dil_conv_5x5@2
    sample_50000_2
        skip_connect@0 sep_conv_5x5@1 | dil_conv_5x5@0 dil_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@2 | skip_connect@0 max_pool_3x3@1
        dil_conv_5x5@0 sep_conv_3x3@3 | sep_conv_5x5@0 dil_conv_5x5@1
        sep_conv_5x5@1 sep_conv_3x3@3 | sep_conv_3x3@1 dil_conv_3x3@3
    sample_50000_3
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_5x5@0 dil_conv_5x5@1
        skip_connect@0 dil_conv_3x3@2 | dil_conv_5x5@0 dil_conv_5x5@2
        dil_conv_3x3@1 sep_conv_5x5@3 | sep_conv_3x3@0 sep_conv_5x5@2
        sep_conv_5x5@0 sep_conv_5x5@1 | dil_conv_3x3@1 sep_conv_3x3@2
    """
)

# Baseline, networks as large as can be, sep_conv_5x5 on random edges (S6): random_max_<seed>
ARCHITECTURES.add(
    """
    random_max_0
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    random_max_1
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    random_max_2
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    random_max_3
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    """
)

# Space S5 on ImageNet: init_pt_s5_in_<seed>_<V>_N<N>
ARCHITECTURES.add(
    """
    init_pt_s5_in_0_100_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_5x5@0 dil_conv_5x5@1
        sep_conv_5x5@2 sep_conv_5x5@3 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | skip_connect@0 sep_conv_5x5@1
    init_pt_s5_in_1_100_N10
        skip_connect@0 sep_conv_3x3@1 | avg_pool_3x3@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@3 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    init_pt_s5_in_2_100_N10
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@3 | skip_connect@0 dil_conv_5x5@1
        sep_conv_3x3@3 sep_conv_5x5@4 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_in_3_100_N10
        sep_conv_5x5@0 sep_conv_3x3@1 | dil_conv_3x3@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_3x3@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@2 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_3x3@1
    """
)

# S5 and CIFAR-10, one discretisation, hence no validation: init_pt_s5_C10_<seed>_N<N>
ARCHITECTURES.add(
    """
    init_pt_s5_C10_0_N1
        sep_conv_5x5@0 sep_conv_5x5@1 | skip_connect@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_1_N1
        sep_conv_5x5@0 sep_conv_5x5@1 | skip_connect@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | skip_connect@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_2_N1
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_3x3@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_3_N1
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    """
)

# S5 and CIFAR-10, other N and V: init_pt_s5_C10_<seed>_<V>_N<N>
ARCHITECTURES.add(
    """
    init_pt_s5_C10_0_1_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | skip_connect@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_1_1_N5
        skip_connect@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_3x3@3
        sep_conv_3x3@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_2_1_N5
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_5x5@0 skip_connect@1
        sep_conv_5x5@1 sep_conv_3x3@2 | sep_conv_3x3@0 dil_conv_3x3@1
        sep_conv_5x5@2 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s5_C10_3_1_N5
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_0_10_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_1_10_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_3x3@2 | sep_conv_3x3@1 sep_conv_5x5@3
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@1 sep_conv_5x5@4
    init_pt_s5_C10_2_10_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_3x3@2 | sep_conv_3x3@1 sep_conv_5x5@2
        sep_conv_5x5@2 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 skip_connect@1
    init_pt_s5_C10_3_10_N5
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_0_100_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_5x5@1 sep_conv_3x3@2 | sep_conv_5x5@1 sep_conv_3x3@3
        sep_conv_5x5@2 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_1_100_N5
        skip_connect@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_3x3@3
        sep_conv_3x3@1 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_3x3@1
    init_pt_s5_C10_2_100_N5
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@1 sep_conv_3x3@2
        sep_conv_5x5@2 sep_conv_3x3@3 | sep_conv_3x3@1 sep_conv_5x5@3
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_3_100_N5
        skip_connect@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@2 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@2 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_0_1_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@2 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_1_1_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_2_1_N10
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_5x5@0 skip_connect@1
        sep_conv_5x5@1 sep_conv_3x3@2 | sep_conv_3x3@0 dil_conv_3x3@1
        sep_conv_5x5@2 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@3 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s5_C10_3_1_N10
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@3 sep_conv_5x5@4 | sep_conv_5x5@0 sep_conv_5x5@1
    init_pt_s5_C10_0_10_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_5x5@2 sep_conv_3x3@4 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_1_10_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_5x5@1
        sep_conv_3x3@1 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    init_pt_s5_C10_2_10_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_3x3@0 sep_conv_3x3@2 | skip_connect@0 skip_connect@1
        sep_conv_5x5@0 sep_conv_5x5@2 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_3x3@1
    init_pt_s5_C10_3_10_N10
        sep_conv_5x5@0 sep_conv_5x5@1 | dil_conv_3x3@0 sep_conv_3x3@1
        sep_conv_3x3@0 sep_conv_5x5@1 | sep_conv_3x3@0 sep_conv_5x5@1
        sep_conv_5x5@1 sep_conv_3x3@3 | sep_conv_5x5@0 sep_conv_3x3@1
        sep_conv_5x5@0 sep_conv_3x3@1 | sep_conv_3x3@0 sep_conv_5x5@1
    """
)


def find_genotype(where: str, network_id: str | None = None) -> tuple[str, Genotype]:
    """Name and genotype meant by a name of this file, a genotype's text, a run folder or a JSON file.

    The text is the JSON form or Genotype(...).

    `network_id` picks one of a file's networks. UserError says what is missing or wrong.
    """
    is_name, is_json = where in ARCHITECTURES, where.lstrip().startswith("{")
    is_pasted = where.lstrip().startswith("Genotype(")
    if (is_name or is_json or is_pasted) and network_id is not None:
        raise UserError(f"--id {network_id}: '{where}' is one architecture; leave the option out")
    if is_name:
        return where, ARCHITECTURES.get(where)
    if is_json:
        return "genotype", parse_genotype(where)
    if is_pasted:
        return "genotype", parse_pasted(where)
    close = difflib.get_close_matches(where, ARCHITECTURES, n=3)
    known = "an architecture of sota/cnn/genotypes.py" + (f" (close: {', '.join(close)})" if close else "")
    name, text = find_network(where, network_id, tuple(CANDIDATES), known)
    return name, parse_genotype(text, name)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the size of architectures in the networks that are trained; returns the exit code."""
    parser = Parser("sota.cnn.genotypes", "Print the parameters and multiply-adds of architectures.")
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="NAME|FOLDER|FILE.json",
        help=f"names of this file, run folders with their {BEST}, or such files (default: all names)",
    )
    parser.add_argument(
        "--against", metavar="NAME", help="tell as well how far the architectures agree with this one"
    )
    options = parser.parse_args(argv)
    found = [find_genotype(where) for where in options.networks or ARCHITECTURES]
    against = find_genotype(options.against) if options.against is not None else None

    # imported here: the architectures and what draws them need no PyTorch
    from sota.cnn.sizes import SETTINGS, size

    print("Millions of parameters (without auxiliary head) and of multiply-adds, by channels/layers")
    width = max(len(name) for name, _ in found)
    titles = [f"{setting.dataset} {setting.channels}/{setting.layers}" for setting in SETTINGS]
    print(" " * width + "".join(f"  {title:>16}" for title in titles))
    for name, genotype in found:
        sizes = [size(genotype, setting) for setting in SETTINGS]
        numbers = [f"  {one.parameters / 1e6:>7.3f} {one.multiply_adds / 1e6:>8.1f}" for one in sizes]
        print(f"{name:<{width}}" + "".join(numbers))
    if against is not None:
        for name, genotype in found:
            places, differ = len(genotype.normal + genotype.reduce), differences(genotype, against[1])
            details = f": {'; '.join(differ)}" if differ else ""
            print(f"{name} agrees with {against[0]} in {places - len(differ)} of {places} places{details}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
