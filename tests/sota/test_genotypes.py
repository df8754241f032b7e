"""Tests of the DARTS architectures: the list, what is refused, how they are found, drawn and counted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.measures.complexity import complexity
from sota.cnn import genotypes, visualize
from sota.cnn.genotypes import (
    ARCHITECTURES,
    OPERATIONS,
    Architectures,
    Genotype,
    check_genotype,
    find_genotype,
    format_genotype,
    parse_genotype,
)
from sota.cnn.sizes import SETTINGS, size
from sota.cnn.visualize import cells_of
from tests import PROJECT_ROOT
from tests.conftest import golden, shared_file

NAME = "init_pt_s5_C10_0_100_N10"
TABLE = [
    "sep_conv_3x3@0 sep_conv_3x3@1 | max_pool_3x3@0 max_pool_3x3@1",
    "sep_conv_3x3@0 sep_conv_3x3@1 | skip_connect@2 max_pool_3x3@1",
    "sep_conv_3x3@1 skip_connect@0 | max_pool_3x3@0 skip_connect@2",
    "skip_connect@0 dil_conv_3x3@2 | skip_connect@2 max_pool_3x3@1",
]
# the second-order architecture of Liu et al. 2019
DARTS_V2 = Genotype(
    normal=(
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
    ),
    reduce_concat=(2, 3, 4, 5),
)
DARTS_V2_TEXT = """\
normal cell
  c_{k-2}
  c_{k-1}
  0       <-- sep_conv_3x3 -- c_{k-2}
          <-- sep_conv_3x3 -- c_{k-1}
  1       <-- sep_conv_3x3 -- c_{k-2}
          <-- sep_conv_3x3 -- c_{k-1}
  2       <-- sep_conv_3x3 -- c_{k-1}
          <-- skip_connect -- c_{k-2}
  3       <-- skip_connect -- c_{k-2}
          <-- dil_conv_3x3 -- 0
  c_{k}   <------------------ 0
          <------------------ 1
          <------------------ 2
          <------------------ 3

reduction cell
  c_{k-2}
  c_{k-1}
  0       <-- max_pool_3x3 -- c_{k-2}
          <-- max_pool_3x3 -- c_{k-1}
  1       <-- skip_connect -- 0
          <-- max_pool_3x3 -- c_{k-1}
  2       <-- max_pool_3x3 -- c_{k-2}
          <-- skip_connect -- 0
  3       <-- skip_connect -- 0
          <-- max_pool_3x3 -- c_{k-1}
  c_{k}   <------------------ 0
          <------------------ 1
          <------------------ 2
          <------------------ 3
"""


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """An empty current folder, and no Graphviz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def mine(monkeypatch):
    """A registry of one's own, in place of the list."""
    registry = Architectures("architecture")
    monkeypatch.setattr(genotypes, "ARCHITECTURES", registry)
    return registry


# ---- the list ----


def test_the_list_holds_the_reported_architectures():
    assert len(ARCHITECTURES) >= 76  # people may have added theirs
    for name in ARCHITECTURES:
        assert isinstance(ARCHITECTURES.get(name), Genotype)


def test_the_list_equals_the_shared_facts():
    facts = json.loads(shared_file("facts/genotypes.json").read_text())
    assert set(ARCHITECTURES) >= set(facts)
    for name, fact in facts.items():
        genotype = ARCHITECTURES.get(name)
        for cell in ("normal", "reduce"):
            assert " ".join(f"{op}@{source}" for op, source in getattr(genotype, cell)) == fact[cell]
            assert list(getattr(genotype, f"{cell}_concat")) == fact[f"{cell}_concat"]


def test_adding_to_the_list(mine):
    mine.add("\n".join(["", "  first", *TABLE, "", "second", *TABLE]))
    mine.register("third", DARTS_V2)
    assert list(mine) == ["first", "second", "third"]
    assert [mine.get(name) for name in mine] == [DARTS_V2] * 3
    assert find_genotype("second") == ("second", DARTS_V2)
    with pytest.raises(ValueError, match="the architecture 'first' is registered already"):
        mine.add("\n".join(["first", *TABLE]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE[:3], "architecture 'mine' has 3 nodes: there must be 4"),
        ([*TABLE, TABLE[3]], "architecture 'mine' has 5 nodes: there must be 4"),
        (
            ["none@0 none@1 none@1 | none@0 none@1", *TABLE[1:]],
            "architecture 'mine': node 0 is written 'none@0 none@1 none@1 | none@0 none@1': "
            "it must look like op@input op@input | op@input op@input",
        ),
        (
            [*TABLE[:3], TABLE[3].replace("dil_conv_3x3", "dil_conv_7x7")],
            "architecture 'mine': node 3 of its normal cell has the unknown operation 'dil_conv_7x7': "
            "choose from none, max_pool_3x3, avg_pool_3x3, skip_connect, sep_conv_3x3, ",
        ),
        (
            [TABLE[0], TABLE[1].replace("skip_connect@2", "skip_connect@3"), *TABLE[2:]],
            "architecture 'mine': node 1 of its reduce cell reads input 3: it may read 0 to 2",
        ),
    ],
)
def test_a_slip_in_a_table_is_told_when_it_is_asked_for(mine, table, message):
    mine.add("\n".join(["mine", *table, "good", *TABLE]))
    assert mine.get("good") == DARTS_V2
    with pytest.raises(UserError) as error:
        mine.get("mine")
    assert str(error.value).startswith(message)


# ---- checks ----


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"normal": DARTS_V2.normal[:7]},
            "its normal cell has 7 edges: there must be 8, two for each node",
        ),
        (
            {"reduce": (("what", 0), *DARTS_V2.reduce[1:])},
            "node 0 of its reduce cell has the unknown operation 'what': "
            f"choose from {', '.join(OPERATIONS)}",
        ),
        (
            {"normal": (*DARTS_V2.normal[:7], ("none", 5))},
            "node 3 of its normal cell reads input 5: it may read 0 to 4",
        ),
        (
            {"normal": (("none", -1), *DARTS_V2.normal[1:])},
            "node 0 of its normal cell reads input -1: it may read 0 to 1",
        ),
        (
            {"normal": (("none", "1"), *DARTS_V2.normal[1:])},
            "node 0 of its normal cell reads input '1': it may read 0 to 1",
        ),
        ({"normal_concat": (2, 3)}, "its normal_concat is (2, 3): it must be (2, 3, 4, 5)"),
        ({"reduce_concat": (3, 4, 5, 6)}, "its reduce_concat is (3, 4, 5, 6): it must be (2, 3, 4, 5)"),
    ],
)
def test_faults_are_named(mine, fault, message):
    genotype = DARTS_V2._replace(**fault)
    for refuse in (check_genotype, cells_of):
        with pytest.raises(UserError) as error:
            refuse(genotype, "mine")
        assert str(error.value) == f"architecture 'mine': {message}"
    mine.register("mine", genotype)
    with pytest.raises(UserError):
        mine.get("mine")


def test_concat_may_be_written_as_a_range():
    check_genotype(DARTS_V2._replace(normal_concat=range(2, 6), reduce_concat=[2, 3, 4, 5]), "mine")


# ---- the JSON form ----


def test_json_round_trip():
    for name in ARCHITECTURES:
        assert parse_genotype(format_genotype(ARCHITECTURES.get(name))) == ARCHITECTURES.get(name)


def test_json_form_is_the_official_one():
    for network in golden("darts_s5_pool_seed0.json")["networks"]:
        assert format_genotype(parse_genotype(network["genotype"])) == network["genotype"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"normal": []}',
        format_genotype(DARTS_V2).replace('"skip_connect", 0', '"skip_connect"'),
        format_genotype(DARTS_V2).replace("[2, 3, 4, 5]", "2"),
    ],
)
def test_json_that_does_not_parse(text):
    with pytest.raises(UserError) as error:
        parse_genotype(text)
    assert str(error.value).startswith(
        f"architecture '{text}' does not parse: it must look like {{\"normal\""
    )
    with pytest.raises(UserError, match="^architecture 'mine' does not parse"):
        parse_genotype(text, "mine")


def test_json_is_checked():
    with pytest.raises(UserError, match="^architecture 'mine': node 1 of its reduce cell has the unknown"):
        parse_genotype(format_genotype(DARTS_V2).replace('skip_connect", 2', 'what", 2'), "mine")


# ---- finding ----


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def write_results() -> None:
    """A run folder and files beside it."""
    genotype = format_genotype(DARTS_V2)
    pool = [
        {"id": "0", "genotype": format_genotype(ARCHITECTURES.get(NAME))},
        {"id": "7", "genotype": genotype},
    ]
    write(Path("run/best_networks.json"), {"search_space": "s5", "networks": genotype})
    write(Path("run/networks_pool.json"), {"search_space": "s5", "networks": pool})
    write(Path("some.json"), {"networks": pool})
    write(Path("other.json"), {"search_space": "nas-bench-201", "networks": genotype})
    write(Path("broken.json"), {"search_space": "s1", "networks": "|none~0|"})


@pytest.mark.parametrize(
    ("where", "network_id", "name"),
    [
        ("run", None, "run"),
        ("run/.", None, "run"),
        ("run/best_networks.json", None, "run"),
        ("run/networks_pool.json", "7", "run-7"),
        ("some.json", "7", "some-7"),
        (format_genotype(DARTS_V2), None, "genotype"),
    ],
)
def test_find(where, network_id, name):
    write_results()
    assert find_genotype(where, network_id) == (name, DARTS_V2)


def test_find_by_name():
    assert find_genotype(NAME) == (NAME, ARCHITECTURES.get(NAME))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [NAME.replace("_N10", "_N9")],
            "'init_pt_s5_C10_0_100_N9' is neither an architecture of sota/cnn/genotypes.py (close: init_",
        ),
        (["?"], "'?' is neither an architecture of sota/cnn/genotypes.py nor a run folder nor a JSON file"),
        (
            ["x" * 1000],
            "x' is neither an architecture of sota/cnn/genotypes.py nor a run folder nor a JSON file",
        ),
        ([NAME, "--id", "0"], f"--id 0: '{NAME}' is one architecture; leave the option out"),
        (
            ["other.json"],
            "'other.json' is of the search space 'nas-bench-201': allowed here: s1, s2, s3, s4, s5",
        ),
        (["broken.json"], "architecture 'broken' does not parse: it must look like {"),
        (["some.json"], "'some.json' holds a list of networks: pick one by --id out of 0, 7"),
        ([NAME, "--out", "x.gif"], "--out 'x.gif': the suffix must be one of .svg, .png, .pdf"),
        ([NAME, "--out", "there.svg"], "'there-reduce.svg' exists already: give --force to overwrite it"),
    ],
)
def test_errors_of_the_drawing_command(capsys, arguments, message):
    write_results()
    Path("there-reduce.svg").touch()
    before = sorted(Path().iterdir())
    assert visualize.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(Path().iterdir()) == before


# ---- drawing ----


def test_cells():
    normal, reduce = cells_of(DARTS_V2._replace(normal=(("none", 0), *DARTS_V2.normal[1:])), "mine")
    assert (normal.name, reduce.name) == ("normal cell", "reduction cell")
    assert len(normal.edges) == 11  # 'none' is not drawn
    assert len(reduce.edges) == 12


def test_command_draws_both_cells(capsys):
    write_results()
    files = ["normal.svg", "normal.png", "reduce.svg", "reduce.png"]
    assert visualize.main(["run"]) == 0
    assert capsys.readouterr().out == DARTS_V2_TEXT + "".join(f"wrote {file}\n" for file in files)
    assert "dil_conv_3x3" in Path("normal.svg").read_text()
    assert "max_pool_3x3" in Path("reduce.svg").read_text()
    assert visualize.main(["run"]) == 2
    assert visualize.main(["run", "--force"]) == 0


def test_command_draws_where_it_is_told():
    assert visualize.main([NAME, "--out", "new/cell.pdf"]) == 0
    assert sorted(file.name for file in Path("new").iterdir()) == ["cell-normal.pdf", "cell-reduce.pdf"]


def test_neither_the_list_nor_the_drawing_command_needs_torch():
    code = "import sys, sota.cnn.visualize; assert not {'torch', 'matplotlib', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)


# ---- counting ----


def test_complexity_of_a_small_network():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(32, 5),
    ).train()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    parameters = (3 * 4 * 9 + 4) + 2 * 4 + 2 * 8 * 9 + (32 * 5 + 5)
    multiply_adds = 3 * 4 * 9 * 16 + 2 * 8 * 9 * 4 + 32 * 5
    assert complexity(network, (3, 4, 4)) == (parameters, multiply_adds)
    # nothing is left behind
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all((value == state[key]).all() for key, value in network.state_dict().items())


# as the code of Liu et al. 2019 prints them; it counts no multiply-adds
DARTS_V2_PARAMETERS = {"CIFAR-10": 3_349_342, "ImageNet": 4_718_752}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.dataset)
def test_sizes_are_exact(setting):
    genotype = DARTS_V2._replace(reduce=(("noise", 0), ("dil_conv_5x5", 1), *DARTS_V2.reduce[2:]))
    with torch.device("meta"):
        network = setting.network(
            genotype, setting.channels, setting.layers, setting.classes, auxiliary=False
        ).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, setting.side, setting.side))
    parameters = sum(weight.numel() for weight in network.parameters())
    assert size(genotype, setting) == (parameters, counter.get_total_flops() // 2)
    if setting.dataset in DARTS_V2_PARAMETERS:
        assert size(DARTS_V2, setting).parameters == DARTS_V2_PARAMETERS[setting.dataset]


def test_agreement_with_another_architecture(capsys, tmp_path):
    one = ARCHITECTURES.get(NAME)
    other = one._replace(
        normal=(("max_pool_3x3", 1), *one.normal[1:]), reduce=(*one.reduce[:-1], ("skip_connect", 4))
    )
    pool = tmp_path / "pool.json"
    write_json(pool, {"search_space": "s5", "networks": [{"id": "0", "genotype": format_genotype(other)}]})
    assert genotypes.main([NAME, str(pool), "--against", NAME]) == 0  # a pool of one needs no --id
    same, different = capsys.readouterr().out.splitlines()[-2:]
    assert same == f"{NAME} agrees with {NAME} in 16 of 16 places"
    (first, source), (last, last_source) = one.normal[0], one.reduce[-1]
    assert different == (
        f"pool agrees with {NAME} in 14 of 16 places: normal node 0: max_pool_3x3@1 for {first}@{source}; "
        f"reduce node 3: skip_connect@4 for {last}@{last_source}"
    )
    assert genotypes.main([NAME, "--against", "nowhere"]) == 2


def test_table_of_sizes(capsys):
    write_results()
    state = torch.get_rng_state()
    assert genotypes.main([NAME, "run"]) == 0
    assert (torch.get_rng_state() == state).all()
    title, header, first, second = capsys.readouterr().out.splitlines()
    assert title.startswith("Millions of parameters (without auxiliary head)")
    assert header.split() == ["CIFAR-10", "36/20", "CIFAR-100", "16/8", "SVHN", "16/8", "ImageNet", "48/14"]
    assert first.startswith(f"{NAME}  ")
    assert [second.split()[i] for i in (0, 1, 7)] == ["run", "3.349", "4.719"]
    assert len(header) == len(first) == len(second)


def test_table_refuses_unknown_names(capsys):
    assert genotypes.main([NAME, "nowhere"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: 'nowhere' is neither an architecture")
