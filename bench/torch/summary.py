#!/usr/bin/env python3
"""A table of the results that bench/gpu.sh left in a folder, and all of them in FOLDER/results.jsonl: python3 bench/torch/summary.py FOLDER

A line of results.jsonl is a part's result with the part's name and, where it is of the GPU, the GPU's name and driver; `sparrow bench --page` draws it.
"""
import json
import subprocess
import sys
from pathlib import Path


def load(file):
    """A result, or nothing where the part failed."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def gpu_of(torch):
    """Name and driver of the GPU as nvidia-smi tells them; else the name that PyTorch knows, if any."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        name, driver = answer.split("\n")[0].split(", ")
        return {"driver": driver, "gpu": name}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"gpu": torch["device"]} if torch.get("device", "cpu") != "cpu" else {}


def write_lines(folder, found):
    """Every result as a line, in the order of the parts."""
    gpu = gpu_of(found.get("torch", {}))
    parts = [line.split("\t")[0] for line in (folder / "parts.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    lines = []
    for name in parts:
        if name in found:
            result = found[name]
            on_gpu = result.get("device", "cpu") != "cpu" or result.get("adapter", {}).get("kind") == "gpu"
            line = {"part": name, **(gpu if on_gpu else {}), **result}
            lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    temporary = folder / "results.jsonl.part"
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(folder / "results.jsonl")


def significant(value):
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def rates(own):
    passes = ("forward", "inputGradient", "weightGradient", "all")
    return "  ".join(f"{significant(own[name]['gflops']):>9}" for name in passes)


def step_line(name, r):
    return f"{name:28} {r['timing']['median'] / 1000:9.4f} s  {significant(r['imagesPerSecond']):>7} images/s  {significant(r['gflops']['dense']):>7} GFLOP/s"


def main():
    folder = Path(sys.argv[1])
    found = {file.stem: load(file) for file in sorted(folder.glob("*.json"))}
    found = {name: result for name, result in found.items() if result is not None}
    torch = found.get("torch", {})
    write_lines(folder, found)

    for result in found.values():
        if "adapter" in result:
            print(f"{result['adapter']['description']}, commit {result.get('commit', 'unknown')}, Node {result['node']}")
            break
    if torch:
        print(f"{torch['device']}, PyTorch {torch['torch']}, driver {torch['driver']}")

    print("\nceilings")
    for limit in found.get("limits", {}).get("limits", []):
        print(f"{limit['title']:36} {significant(limit['value']):>9} {limit['unit']}")
    for name, value in torch.get("ceilings", {}).items():
        if isinstance(value, dict):
            number, unit = (value["tflops"] * 1000, "GFLOP/s") if "tflops" in value else (value["gbs"], "GB/s")
            print(f"{'PyTorch ' + name:36} {significant(number):>9} {unit}")

    print("\ntraining step, PGD; GFLOP/s as if dense")
    for name, result in found.items():
        if result.get("suite") == "step":
            print(step_line(name, result))
    for mode, results in torch.get("step", {}).items():
        for r in results:
            print(f"PyTorch {mode}: {r['error']}" if "error" in r else step_line(f"PyTorch {mode} {r['batchSize']}", r))

    sparse = found.get("sparse", {}).get("shapes", [])
    if sparse:
        print(f"\n{'sparse over dense, time':36} {'density':>9}  {'forward':>9}  {'input':>9}")
        for r in sparse:
            for row in r["rows"][1:]:
                name = f"{r['shape']}, batch {r['sizes']['n']}"
                ratio = row["ratio"]
                print(f"{name:36} {row['density']:>9}  {significant(ratio['forward']):>9}  {significant(ratio['inputGradient']):>9}")

    print(f"\n{'convolution, GFLOP/s':36} {'forward':>9}  {'input':>9}  {'weight':>9}  {'all':>9}")
    for name, result in found.items():
        if result.get("suite") == "conv":
            for r in result["shapes"]:
                label = f"{r['shape']}, batch {r['sizes']['n']}, {result.get('precision', 'f32')}"
                print(f"{label:36} {rates(r['own'])}")
    for mode, results in torch.get("conv", {}).items():
        for r in results:
            label = f"PyTorch {mode} " + (r["failed"] if "error" in r else f"{r['shape']}, batch {r['sizes']['n']}")
            print(f"{label:36} {r['error'] if 'error' in r else rates(r['own'])}")


if __name__ == "__main__":
    main()
