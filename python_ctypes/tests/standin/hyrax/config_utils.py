"""Where results are."""

from pathlib import Path


def resolve_results_dir(config, results_dir, verb):
    if results_dir is None:
        results_dir = config["results"]["inference_dir"] or config["most_recent"][verb or "infer"]
    if not Path(results_dir).exists():
        raise RuntimeError(f"Inference directory {results_dir} does not exist")
    return Path(results_dir)
