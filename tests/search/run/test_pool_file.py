"""A pool from elsewhere, by --pool FILE: validated in a run folder of its own, checked before all else."""

import json

import pytest

from nasbench201.networks_proposal import main
from sota.cnn import networks_proposal
from tests import running as commands
from tests.conftest import golden
from tests.running import TINY_NASBENCH201, read
from tests.search.run.runs import BEST, NAME, OTHER, POOL, SCORES, SMALL, done, journal, refused

POOLED = NAME.removesuffix("random") + "pool"
VALIDATION = [*SMALL, "--stage=validation"]


def pool_file(path, genotypes=(OTHER,), **changes):
    """A pool in the official layout; returns the option."""
    networks = [{"id": str(number), "genotype": genotype} for number, genotype in enumerate(genotypes)]
    head = {"search_space": "nas-bench-201", "dataset": "digits"}
    path.write_text(json.dumps({**head, "networks": networks, **changes}))
    return f"--pool={path}"


def told_of(result):
    """The lines of the report, from the architecture on, but for the search's seconds."""
    lines = result.out.partition("\narchitecture: ")[2].splitlines()
    return [line for line in lines if " took " not in line and not line.startswith(("report: ", "run: "))]


def test_the_pool_of_another_run_comes_to_what_that_run_found(uninterrupted, tmp_path, calls):
    folder = uninterrupted.folder
    given = f"--pool={folder / POOL}"
    result = done(tmp_path, *VALIDATION, given)
    assert calls == {"decisions": 0, "minibatches": SCORES}
    assert result.folder == tmp_path / POOLED
    for name in (POOL, BEST):
        assert (result.folder / name).read_bytes() == (folder / name).read_bytes()
    summary = read(result.folder, "summary.json")
    assert summary["scores"] == read(folder, "summary.json")["scores"]
    assert (summary["edge_decision"], list(summary["seconds"])) == (None, ["validation"])
    assert told_of(result) == told_of(uninterrupted)
    assert result.says("the pool: 2 networks of") == 1
    assert result.says("searched on") == 0
    assert not (result.folder / "search.jsonl").exists()
    settings = read(result.folder, "config.json")["settings"]
    assert settings["pool_networks"].startswith("2 of digest ")
    assert not {"pool_size", "edge_decision"} & set(settings)  # they make nothing of it

    again = done(tmp_path, *VALIDATION, given, "--pool_size=7")
    assert again.says("finished before, nothing to compute") == 1
    validation = result.folder / "validation.jsonl"
    validation.write_bytes(b"".join(validation.read_bytes().splitlines(keepends=True)[:7]))
    done(tmp_path, *VALIDATION, given)  # goes on
    assert len(journal(result.folder, "validation")) == SCORES
    assert read(result.folder, "summary.json")["scores"] == summary["scores"]
    done(tmp_path, *VALIDATION, given, "--force")
    assert calls["decisions"] == 0


def test_another_data_set_is_said(tmp_path):
    given = pool_file(tmp_path / "pool.json", dataset="ImageNet16-120")
    result = done(tmp_path, *VALIDATION, "--validate_rounds=1", given)
    told = "the pool was searched on ImageNet16-120, and is validated on digits"
    assert result.out.splitlines().count(told) == 1
    assert read(result.folder, POOL)["dataset"] == "ImageNet16-120"
    assert read(result.folder, BEST)["dataset"] == "digits"


def test_another_pool_under_the_same_name_is_refused_with_the_difference(tmp_path):
    one = pool_file(tmp_path / "one.json")
    done(tmp_path, *VALIDATION, "--validate_rounds=1", one)
    (tmp_path / "one.json").rename(tmp_path / "moved.json")
    done(tmp_path, *VALIDATION, "--validate_rounds=1", f"--pool={tmp_path / 'moved.json'}")
    two = pool_file(tmp_path / "two.json", [OTHER.replace("skip_connect", "none"), OTHER])
    told = refused(tmp_path, *VALIDATION, "--validate_rounds=1", two)
    assert f"{tmp_path / POOLED} is a run with other settings (pool_networks 1 of digest " in told
    assert " there, 2 of digest " in told


BAD = OTHER.replace("skip_connect~2", "sep_conv_3x3~2")
FAULTS = [
    ({"genotypes": [OTHER, BAD]}, "network 1: architecture '" + BAD + "' has the unknown operation 'sep_"),
    ({"genotypes": ["00000000"]}, "network 0: architecture '00000000' does not parse: "),
    ({"search_space": "s5"}, "is of the search space 's5': allowed here: nas-bench-201"),
    ({"networks": []}, "names no network"),
    ({"networks": [{"id": "0", "genotype": OTHER}] * 2}, "has several networks of the id 0"),
]


@pytest.mark.parametrize("changes, message", FAULTS)
def test_a_pool_that_is_wrong_is_told_and_makes_nothing(tmp_path, changes, message):
    told = refused(tmp_path / "out", *VALIDATION, pool_file(tmp_path / "pool.json", **changes))
    assert told.startswith("--pool")
    assert str(tmp_path / "pool.json") in told
    assert message in told
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_pool_is_told(tmp_path):
    told = refused(tmp_path / "out", *VALIDATION, f"--pool={tmp_path / 'gone.json'}")
    assert told == f"--pool: '{tmp_path / 'gone.json'}' can't be read: No such file or directory"
    (tmp_path / "text.json").write_text("networks")
    told = refused(tmp_path / "out", *VALIDATION, f"--pool={tmp_path / 'text.json'}")
    assert told.startswith(f"--pool: '{tmp_path / 'text.json'}' is not valid JSON: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["all", "search"])
def test_a_stage_that_searches_has_a_pool_of_its_own(tmp_path, stage):
    given = pool_file(tmp_path / "pool.json")
    told = refused(tmp_path / "out", *SMALL, f"--stage={stage}", "--no_skip_training", given)
    pool = f"--pool {tmp_path / 'pool.json'}"
    assert told == f"{pool}: --stage {stage} searches a pool of its own: use --stage validation"
    assert not (tmp_path / "out").exists()


def test_a_pool_put_into_an_empty_run_folder_is_told_its_option(tmp_path):
    path = tmp_path / NAME / POOL
    path.parent.mkdir(parents=True)
    pool_file(path)
    told = refused(tmp_path, *VALIDATION)
    assert told == f"--stage validation: {path} belongs to no run: give it by --pool {path}"


@pytest.mark.parametrize("stage", ["validation", "all"])
def test_a_pool_that_somebody_replaced_is_told(out, stage):
    path = out / NAME / POOL
    pool = read(out / NAME, POOL)
    pool["networks"][1]["genotype"] = OTHER
    for content, difference in (
        (pool, "network 1 is not that of search.jsonl"),
        ({**pool, "networks": pool["networks"][:1]}, "1 there, 2 of search.jsonl"),
    ):
        path.write_text(json.dumps(content))
        told = refused(out, *SMALL, f"--stage={stage}")
        assert told == (
            f"{path} holds other networks than its run's ({difference}): delete it, and the same command "
            "makes it again; a pool from elsewhere is validated by --pool FILE"
        )
    path.unlink()
    done(out, *SMALL)


def test_a_given_pool_that_somebody_replaced_is_told(tmp_path):
    given = pool_file(tmp_path / "pool.json")
    folder = done(tmp_path, *VALIDATION, "--validate_rounds=1", given).folder
    pool_file(folder / POOL, [BAD])
    told = refused(tmp_path, *VALIDATION, "--validate_rounds=1", given)
    assert f"network 0 is not that of --pool {tmp_path / 'pool.json'}" in told


def test_the_winner_is_trained(tmp_path):
    arguments = [*TINY_NASBENCH201, "--validate_rounds=1", "--epochs=1", "--fast", "--train_batch_size=8"]
    arguments += [f"--out={tmp_path}", pool_file(tmp_path / "pool.json")]
    assert "run --stage validation first" in commands.refused(main, *arguments, "--stage=training")
    commands.done(main, *arguments, "--stage=validation")
    told = commands.done(main, *arguments, "--stage=training")
    assert told[-1] == f"run: {tmp_path / POOLED}/training"
    assert read(tmp_path / POOLED, "training/result.json")["genotype"] == OTHER


# ---- pools of the official code


def test_an_official_pool(tmp_path):
    content = golden("nasbench201_pool_seed0.json")
    (tmp_path / "pool.json").write_text(json.dumps(content))
    arguments = [*TINY_NASBENCH201, "--validate_rounds=1", "--stage=validation", f"--out={tmp_path}"]
    commands.done(main, *arguments, f"--pool={tmp_path / 'pool.json'}")
    genotypes = [network["genotype"] for network in content["networks"]]
    assert [network["genotype"] for network in read(tmp_path / POOLED, POOL)["networks"]] == genotypes
    assert list(read(tmp_path / POOLED, "summary.json")["scores"]) == list(dict.fromkeys(genotypes))


DARTS = ["--dataset=digits", "--device=cpu", "--threads=1", "--search_channels=2", "--search_layers=3"]
DARTS += ["--batch_size=4", "--validate_rounds=1", "--stage=validation"]


def test_an_official_pool_of_s5_is_one_of_s5_only(tmp_path):
    content = golden("darts_s5_pool_seed0.json")
    (tmp_path / "pool.json").write_text(json.dumps(content))
    arguments = [*DARTS, f"--out={tmp_path}", f"--pool={tmp_path / 'pool.json'}"]
    told = commands.done(networks_proposal.main, *arguments)
    assert "the pool was searched on cifar10, and is validated on digits" in told
    genotypes = [network["genotype"] for network in content["networks"]]
    folder = tmp_path / "s5/zerocostpt-seed2-digits-jacob-pool"
    assert [network["genotype"] for network in read(folder, POOL)["networks"]] == genotypes
    refused = commands.refused(networks_proposal.main, *arguments, "--space=s2")
    assert "is of the search space 's5': allowed here: s2" in refused
    del content["search_space"]  # then its networks tell
    (tmp_path / "pool.json").write_text(json.dumps(content))
    refused = commands.refused(networks_proposal.main, *arguments, "--space=s2")
    assert refused.startswith(f"--pool {tmp_path / 'pool.json'}: network 0: architecture ")
    assert (
        "node 0 of its normal cell has sep_conv_5x5 on input 0: there s2 has skip_connect, sep_con" in refused
    )
