"""Benchmarks: other people's systems and ours, on the same work, in one run.

Run with `PYTHONPATH=tests python -m benchmarks`; `README.md` in this folder says what is measured and how a
system is added. Nothing here asserts a time: the result is a table of medians and ratios.
"""
