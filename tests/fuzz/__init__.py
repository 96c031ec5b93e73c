"""Coverage-guided fuzzing; each target is a program, and a test that runs it for a moment."""
