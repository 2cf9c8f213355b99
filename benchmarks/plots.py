"""Draw what `inference.py` found: `plots.py RESULTS FOLDER`. Run with matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main() -> None:
    """Write the plots into the folder."""
    plt.switch_backend("svg")
    # Text as text, and names that do not change from run to run.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mlifecycle"})
    results = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    if "servers" in results:
        draw_servers(results["servers"], folder / "inference-servers.svg")
    if "growth" in results:
        draw_growth(results["growth"], folder / "inference-growth.svg")


def draw_servers(servers: dict, target: Path) -> None:
    """Requests per second of each server at 64 connections."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5))
    for axis, model in zip(axes, ("tiny", "mid"), strict=True):
        shown = [each for key, each in servers.items() if key.endswith(model)]
        shown.sort(key=lambda each: each["many"]["rate"])
        labels = [each["label"].removesuffix(f", {model}") for each in shown]
        colors = ["tab:blue" if label.startswith("ours") else "tab:gray" for label in labels]
        axis.barh(labels, [each["many"]["rate"] for each in shown], color=colors)
        axis.set_xscale("log")
        axis.set_title(f"{model}, 64 connections")
        axis.set_xlabel("requests/s")
    save(figure, target)


def draw_growth(growth: dict, target: Path) -> None:
    """How rates grow with connections, rows and parameters."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for axis, along, values, label in (
        (axes[0], growth["connections"], growth["by_connections"], "connections"),
        (axes[1], growth["rows"], growth["by_rows"], "rows in a request, 8 connections"),
        (axes[2], growth["parameters"], growth["by_parameters"], "parameters, 64 connections"),
    ):
        for name, found in values.items():
            axis.plot(along, found, marker="o", label=name)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(label)
        axis.set_ylabel("rows/s" if axis is axes[1] else "requests/s")
        axis.legend()
        axis.grid(visible=True, which="both", alpha=0.2)
    save(figure, target)


def save(figure: plt.Figure, target: Path) -> None:
    """As SVG without the time of its making."""
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
