"""Strict pydantic schemas of a run's files: run.json, metrics.jsonl, evaluation.jsonl, state.json, checksums.json."""
