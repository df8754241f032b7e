"""Architectures as every descendant of DARTS prints them: pasted into the list, given as text, printed."""

import pytest

from foresight_ext.errors import UserError
from sota.cnn import genotypes
from sota.cnn.genotypes import ARCHITECTURES, Genotype, find_genotype, format_genotype
from sota.cnn.notation import as_pasted, parse_pasted
from sota.cnn.space import DartsSpace

NAME = "init_pt_s5_C10_0_100_N10"
NORMAL = [("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_5x5", 0), ("dil_conv_3x3", 2)] * 2
PASTED = Genotype(normal=NORMAL, normal_concat=range(2, 6), reduce=NORMAL, reduce_concat=[2, 3, 4, 5])
SOUND = Genotype(tuple(NORMAL), (2, 3, 4, 5), tuple(NORMAL), (2, 3, 4, 5))


@pytest.fixture
def pasted(monkeypatch):
    """A variable of the list's module."""

    def paste(name, genotype):
        monkeypatch.setitem(vars(genotypes), name, genotype)

    return paste


def test_a_variable_is_an_architecture_by_its_name(pasted):
    before = list(ARCHITECTURES)
    pasted("MY_ARCH", PASTED)
    assert find_genotype("MY_ARCH") == ("MY_ARCH", SOUND)
    assert ARCHITECTURES.get("MY_ARCH") == SOUND
    assert list(ARCHITECTURES) == [*before, "MY_ARCH"]
    assert len(before) == 76


def test_a_reported_one_can_be_imported_by_name():
    from sota.cnn.genotypes import init_pt_s5_C10_0_100_N10

    assert ARCHITECTURES.get(NAME) == init_pt_s5_C10_0_100_N10
    with pytest.raises(ImportError):
        from sota.cnn.genotypes import init_pt_s9  # noqa: F401


@pytest.mark.parametrize(
    "change, told",
    [
        ({"normal": NORMAL[:7]}, "its normal cell has 7 edges: there must be 8"),
        (
            {"reduce": [("conv", 0), *NORMAL[1:]]},
            "node 0 of its reduce cell has the unknown operation 'conv'",
        ),
        ({"normal_concat": range(2, 5)}, "its normal_concat is (2, 3, 4): it must be (2, 3, 4, 5)"),
        ({"normal": 5}, "must look like Genotype(normal=[('op', input), ... (8)], normal_concat=range(2, 6)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_faulty_one_is_told_by_its_name_and_is_no_trouble_to_others(pasted, change, told):
    pasted("FAULTY", PASTED._replace(**change))
    assert find_genotype(NAME)[0] == NAME
    with pytest.raises(UserError) as error:
        find_genotype("FAULTY")
    assert str(error.value).startswith("architecture 'FAULTY'")
    assert told in str(error.value)


def test_text_is_read_as_it_is_pasted():
    for text in (repr(PASTED), f" {as_pasted(SOUND)}\n", repr(SOUND)):
        assert find_genotype(text.strip()) == ("genotype", SOUND)
        assert parse_pasted(text) == SOUND
    assert as_pasted(SOUND).startswith("Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ")
    assert as_pasted(SOUND).endswith(", reduce_concat=range(2, 6))")


@pytest.mark.parametrize(
    "text", ["Genotype(", "Genotype(1)", "Genotype(normal=print(1))", "Genotypes()", "f()"]
)
def test_other_text_is_told_and_not_run(text, capsys):
    with pytest.raises(UserError, match="does not parse: it must look like Genotype"):
        parse_pasted(text)
    assert capsys.readouterr().out == ""


def test_a_search_prints_its_winner_so():
    assert DartsSpace("s5").to_paste(format_genotype(SOUND)) == as_pasted(SOUND)


def test_a_name_that_stands_twice_is_told(pasted):
    pasted(NAME, PASTED)
    with pytest.raises(UserError, match=f"'{NAME}' stands twice in sota/cnn/genotypes.py: rename yours"):
        find_genotype(NAME)
