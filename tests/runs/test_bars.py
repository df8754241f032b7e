"""Bars: on a terminal only, with the last decision beside them; lines elsewhere, and in the log."""

import fcntl
import logging
import os
import re
import struct
import subprocess
import sys
import termios

from foresight_ext.commands.parser import console_log
from foresight_ext.runs.progress import Progress, TrainingProgress, bars
from tests import PROJECT_ROOT
from tests.running import TINY_NASBENCH201

SMALL = [
    *TINY_NASBENCH201,
    "--pool_size=2",
    "--validate_rounds=3",
    "--no_skip_training",
    "--epochs=1",
    "--train_batch_size=64",
]
NAME = "nas-bench-201/zerocostpt-seed0-digits-jacob-random"


def shown_on_a_terminal(command):
    """All that a command writes to the terminal it runs in."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))  # a window of 150 columns
    with subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                pieces.append(os.read(ours, 4096))
            except OSError:  # Linux says so at the end
                break
        os.close(ours)
    assert process.returncode == 0
    return b"".join(pieces).decode()


def test_a_terminal_sees_bars_with_the_last_decision_and_all_lines(tmp_path):
    command = [sys.executable, "-m", "nasbench201.networks_proposal", f"--out={tmp_path}", *SMALL]
    shown = shown_on_a_terminal(command)
    for title in ("search:", "validation:", "epoch 1 of 1:"):
        assert f"\r{title}" in shown
    entries = (tmp_path / NAME / "search.jsonl").read_text()
    assert any(f"{edge} = " in shown for edge in ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"))
    assert entries.count("\n") == 12
    text = (tmp_path / NAME / "log.txt").read_text()
    log = re.findall(r"^\d{4}-\S+ \S+ (.+)$", text, re.M)
    assert len(log) > 10
    lines = {line.rstrip("\r").split("\r")[-1] for line in shown.split("\n")}
    assert {line for line in log if len(line) < 150} <= lines
    assert "%|" not in text


def test_lines_that_a_bar_shows_are_not_printed_beside_it(capsys, monkeypatch):
    monkeypatch.setattr("foresight_ext.runs.progress._EVERY", 0)
    with console_log(), Progress("search", 3) as work:
        work.step("one")
    assert capsys.readouterr().out.startswith("search: 1 of 3 (33%), ")  # no terminal: the line, no bar
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with console_log(), Progress("search", 3) as work:
        work.step("one")
        logging.getLogger("foresight_ext").info("something else")
    shown = capsys.readouterr().out
    assert "1 of 3" not in shown
    assert "search:" in shown and "one" in shown and "something else\n" in shown


def test_a_library_draws_no_bar_by_itself(capsys):
    with Progress("search", 2) as work:
        work.step()
    training = TrainingProgress(1, 10)
    training.step(5)
    training.trained()
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_taken_away_when_the_work_is_stopped(capsys):
    try:
        with bars(), Progress("search", 2) as work:
            work.step()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert capsys.readouterr().out.endswith("\r")
