"""Benchmarks: `make bench` measures everything in one run, compared with stock nameko, and writes docs/performance.md.

Figures are ratios and CPU-milliseconds of one run on one machine; rates depend on the machine and on its neighbours.
"""
