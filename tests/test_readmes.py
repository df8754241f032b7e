"""The Python code of the READMEs runs as it stands there."""

import re
import sys

import pytest

from tests import PROJECT_ROOT
from tests.running import finished

READMES = ["README.md", "foresight_ext/README.md", "foresight_ext/choices/README.md"]


@pytest.mark.parametrize("name", READMES)
def test_code_runs_one_block_after_the_other(name, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", (PROJECT_ROOT / name).read_text(), re.M | re.S)
    assert blocks
    (tmp_path / "blocks.py").write_text("\n".join(blocks))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    done = finished([sys.executable, "blocks.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_first_page_is_short():
    assert len((PROJECT_ROOT / "README.md").read_text().splitlines()) < 200
