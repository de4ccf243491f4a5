"""The parts of benchmarks/run.py and benchmarks/corpus.py."""
