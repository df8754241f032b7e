"""The pipeline's script: started from any folder, with its program's exit code."""

import re

from tests.running import finished, read, script
from tests.search.run.runs import OTHER, few_images, table

SCRIPT = "zerocostpt_nb201_pipeline.sh"


def test_the_script_works_from_any_folder_with_paths_relative_to_it(tmp_path):
    tmp_path = tmp_path.resolve()
    (tmp_path / "foresight_ext.py").write_text("raise SystemExit('not the project')")
    few_images(tmp_path / "images", 4)
    table(tmp_path / "bench.csv", [f"{OTHER},1,2,3"])
    spaced = ["--dataset", "folder", "--data", "images", "--cells", "1", "--init_channels", "2"]
    spaced += ["--out", "my runs", "--pool_size", "1", "--threads", "1"]
    joined = [
        "--batch_size=2",
        "--validate_rounds=2",
        "--device=cpu",
        "--benchmark=bench.csv",
        "--metric=nwot",
    ]
    result = finished(script(SCRIPT, *spaced, *joined), tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    folder = tmp_path / "my runs/nas-bench-201/zerocostpt-seed0-folder-nwot-random"
    assert result.stdout.splitlines()[-1] == f"run: {folder}"
    config = read(folder, "config.json")
    assert config["other_options"]["data"] == str(tmp_path / "images")
    assert config["other_options"]["benchmark"] == str(tmp_path / "bench.csv")
    assert config["settings"]["batch_size"] == 2
    assert result.stdout.count("bench.csv' holds 1 of 15625 architectures") == 1


def test_the_scripts_exit_code_is_the_programs(tmp_path):
    result = finished(script(SCRIPT, "--sede=1"), tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        r"error: unrecognized arguments: --sede=1: did you mean --seed\? [^\n]+\n", result.stderr
    )
