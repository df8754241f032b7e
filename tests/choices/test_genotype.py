"""Genotypes as mappings, lines and JSON, and what is told of those that do not fit."""

import json

import pytest

from foresight_ext import supernet_of
from foresight_ext.choices.genotype import as_text, checked, of_mixing, parse
from foresight_ext.errors import UserError
from tests.choices.networks import DEEP, SHALLOW, Cell, Plain

PLAIN, CELL = supernet_of(Plain()), supernet_of(Cell())
LINE = "stem=1,down=conv,pair=conv3x3,out=skip"


@pytest.mark.parametrize("genotype", [SHALLOW, DEEP])
def test_a_line_and_json_are_read_again(genotype):
    assert parse(as_text(genotype), PLAIN.choices) == genotype
    assert parse(json.dumps(genotype), PLAIN.choices) == genotype


def test_the_line_is_readable_and_its_order_that_of_the_network():
    assert as_text(SHALLOW) == LINE
    assert list(parse(" out = skip, pair=conv3x3 ,down=conv,stem=1\n", PLAIN.choices)) == list(SHALLOW)


def test_a_mixing_keeps_what_runs():
    one, other = (1.0, 0.0), (0.0, 1.0)
    assert (
        of_mixing(PLAIN.choices, (other, one, one, one, other)) == SHALLOW
    )  # the nested choice does not run
    assert of_mixing(PLAIN.choices, (one, one, other, other, other)) == DEEP


def test_a_node_s_genotype_has_the_edges_that_it_keeps():
    kept = {"node.edges.0": "skip", "node.edges.2": "conv"}
    assert parse(as_text(kept), CELL.choices, CELL.nodes) == kept
    assert of_mixing(CELL.choices, ((0.0, 1.0), (0.0, 0.0), (1.0, 0.0))) == kept


MISTAKES = {
    "": "the genotype '': it must be CHOICE=CANDIDATE,... or a JSON object",
    "stem": "the genotype 'stem': it must be CHOICE=CANDIDATE",
    "stem=1,": "the genotype 'stem=1,': it must be CHOICE=CANDIDATE",
    '["stem"]': "it must be CHOICE=CANDIDATE,... or a JSON object",
    '{"stem": 1}': "it must be CHOICE=CANDIDATE,... or a JSON object",
    '{"stem": {"a": "b"}}': "it must be CHOICE=CANDIDATE,... or a JSON object",
    '{"stem": ': "is no JSON: Expecting value",
    f"{LINE},stem=0": "the genotype names the choice 'stem' twice: 1 and 0",
    '{"stem": "0", "stem": "0"}': "the genotype names the choice 'stem' twice: 0 and 0",
    f"{LINE},sten=0": "no choice 'sten' to keep: choices are stem, down, pair, out, out/deep/1",
    LINE.replace(
        "pair=conv3x3", "pair=conv5x5"
    ): "'pair' can't keep 'conv5x5': its candidates are conv3x3, s",
    "stem=1,down=conv,out=skip": "the genotype lacks 'pair': its candidates are conv3x3, skip",
    LINE.replace("skip", "deep"): "the genotype lacks 'out/deep/1': its candidates are conv3x3, conv1x1",
    f"{LINE},out/deep/1=conv1x1": "the genotype names 'out/deep/1', which does not run: leave it out",
}


@pytest.mark.parametrize("text, told", MISTAKES.items())
def test_what_does_not_fit_is_told_by_name(text, told):
    with pytest.raises(UserError) as error:
        parse(text, PLAIN.choices)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_node_keeps_no_other_number_of_edges():
    told = "keeps 1 of node.edges.0, node.edges.1, node.edges.2: it must keep 2"
    with pytest.raises(UserError, match=told):
        checked({"node.edges.1": "skip"}, CELL.choices, CELL.nodes)
