"""Run folders: what was asked, a journal of what is done, results, progress."""
