"""Schemas of the files of a run directory, strict pydantic models: run.json, metrics.jsonl and evaluation.jsonl."""
