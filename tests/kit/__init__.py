"""What several test suites share: hand-made images, the corrupter, and the oracles."""
