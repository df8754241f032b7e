"""The report as a browser draws it, at a desktop's and at a phone's width."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from foresight_ext.report.__main__ import main
from tests.report.made import made_run
from tests.running import done

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS, HEIGHT = (1280, 390), 3600
DARKEST = (8, 48, 107)  # the shade of a row's lowest score
# tells where each picture lies, in the frames of a page that the browser dumps
MEASURE = """
<script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const at = one => { const r = one.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
    return {
      width: page.documentElement.scrollWidth,
      height: page.documentElement.scrollHeight,
      pictures: [...page.querySelectorAll("img")].map(one => [...at(one), one.naturalWidth]),
      darkest: [...page.querySelectorAll("figure rect.s0")].map(at),
    };
  });
  document.body.dataset.found = JSON.stringify(found);
};
</script>
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What was measured at each width, and the pixels of both pages side by side."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    place = tmp_path_factory.mktemp("browser")
    done(main, str(made_run(place / "run")), f"--out={place / 'report.html'}")
    frames = "".join(
        f'<iframe src="report.html" width={width} height={HEIGHT} style="border:0;float:left"></iframe>'
        for width in WIDTHS
    )
    (place / "frames.html").write_text(f'<!DOCTYPE html><body style="margin:0">{frames}{MEASURE}')
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={place / 'profile'}", f"--window-size={sum(WIDTHS)},{HEIGHT}"]
    command += ["--hide-scrollbars", "--virtual-time-budget=3000"]
    picture = place / "screen.png"
    command += ["--dump-dom", f"--screenshot={picture}", (place / "frames.html").as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search('data-found="([^"]*)"', ran.stdout)
    assert found is not None, ran.stderr
    return json.loads(html.unescape(found[1])), np.asarray(Image.open(picture).convert("RGB"))


@pytest.mark.parametrize("number", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_pictures_are_where_they_must_be(drawn, number):
    measured, pixels = drawn
    page, left = measured[number], sum(WIDTHS[:number])
    assert page["width"] <= WIDTHS[number]  # nothing is wider than the screen: what is scrolls by itself
    assert page["height"] <= HEIGHT
    assert len(page["pictures"]) == 3
    for x, y, width, height, natural in page["pictures"]:
        assert natural > 0 and width > 150 and height > 50
        seen = pixels[int(y) : int(y + height), left + int(x) : left + int(min(x + width, WIDTHS[number]))]
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 10
        assert 0.5 < (seen == 255).all(axis=2).mean() < 0.995  # ink on white
    assert len(page["darkest"]) == 6  # one for each decision
    for x, y, width, height in page["darkest"]:
        assert (width, height) == (16, 16)
        assert tuple(pixels[round(y) + 3, left + round(x) + 3]) == DARKEST
