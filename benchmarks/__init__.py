"""Benchmarks: CPU per unit of work, as ratios of subjects that take turns in one run on one machine."""
