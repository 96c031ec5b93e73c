"""Real clients of other projects against a real broker process."""
