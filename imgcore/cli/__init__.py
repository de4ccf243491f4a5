"""The command line: the only place that reads arguments, the environment, the clock and the terminal."""
