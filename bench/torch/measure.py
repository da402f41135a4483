#!/usr/bin/env python3
"""The measurements of `sparrow bench` in PyTorch, as JSON on standard output: convolutions, adversarial training steps, the device's ceilings.

    python3 bench/torch/measure.py > torch.json            # what a GPU is compared by: conv, step and ceilings in fp32, default and amp
    python3 bench/torch/measure.py --quick > torch.json    # the same at sizes that a CPU gets through in a minute

Modes: `fp32` has TF32 off everywhere, `default` is PyTorch as it comes, `amp` is autocast to float16 with a GradScaler and channels_last.
"""
import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import datetime, timezone

import torch
import torch.nn as nn
import torch.nn.functional as F

MODES = ("fp32", "default", "amp")
# TF32 in matrix products and in convolutions, as PyTorch comes
TF32 = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)

# The rows of src/cli/bench/conv-shapes.ts; what is not said is a 3x3 kernel, stride 1, and as many output channels as input channels.
STAGES = [dict(ci=64, size=32), dict(ci=128, size=16), dict(ci=256, size=8), dict(ci=512, size=4)]
MORE = [
    dict(ci=3, co=64, size=32),
    dict(ci=64, co=128, size=32, stride=2),
    dict(ci=256, co=512, size=8, stride=2),
    dict(ci=64, co=128, size=32, kernel=1, stride=2),
    dict(ci=256, co=512, size=8, kernel=1, stride=2),
    dict(ci=3, co=64, size=64),
    dict(ci=64, size=64),
    dict(ci=16, co=160, size=32),
    dict(ci=160, size=32),
    dict(ci=160, co=320, size=32, stride=2),
    dict(ci=320, size=16),
    dict(ci=640, size=8),
    dict(ci=7, size=32),
    dict(ci=7, co=13, size=33),
    dict(ci=64, size=33),
    dict(ci=64, size=33, stride=2),
    dict(ci=64, size=32, n=1),
    dict(ci=512, size=4, n=1),
    dict(ci=64, size=32, n=128),
    dict(ci=512, size=4, n=128),
]


def shapes_of(name, n):
    """The shapes of a set, with n images where a row does not say itself how many."""
    rows = STAGES + MORE if name == "all" else STAGES
    return [{"n": n, "co": row["ci"], "kernel": 3, "stride": 1, **row} for row in rows]


def shape_name(z):
    channels = f"{z['ci']}ch" if z["ci"] == z["co"] else f"{z['ci']}→{z['co']}"
    kernel = "" if z["kernel"] == 3 else f" {z['kernel']}x{z['kernel']}"
    stride = "" if z["stride"] == 1 else f" stride {z['stride']}"
    return f"{channels} {z['size']}²{kernel}{stride}"


def progress(text):
    print(text, file=sys.stderr, flush=True)


# -- time ------------------------------------------------------------------------------------------------------------------------------


class Clock:
    """Times work on a device: warm-up, then samples that each last long enough, each waited for."""

    def __init__(self, device, samples, sample_ms):
        self.cuda = device.type == "cuda"
        self.samples = samples
        self.sample_ms = sample_ms

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def elapsed(self, run, runs):
        """Milliseconds of `runs` runs."""
        self.sync()
        start = time.perf_counter()
        for _ in range(runs):
            run()
        self.sync()
        return (time.perf_counter() - start) * 1000

    def time(self, run, warm_up=2, most_runs=1000):
        """Milliseconds of one run: median, smallest, largest."""
        for _ in range(warm_up):
            self.elapsed(run, 1)
        runs = max(1, min(most_runs, round(self.sample_ms / self.elapsed(run, 1) + 0.5)))
        times = [self.elapsed(run, runs) / runs for _ in range(self.samples)]
        return {"median": statistics.median(times), "min": min(times), "max": max(times), "samples": self.samples, "runs": runs}


def set_mode(mode):
    """TF32 as the mode says, and cuDNN tries its algorithms. Returns the memory format of the mode."""
    torch.backends.cuda.matmul.allow_tf32 = TF32[0] and mode != "fp32"
    torch.backends.cudnn.allow_tf32 = TF32[1] and mode != "fp32"
    torch.backends.cudnn.benchmark = True
    return torch.channels_last if mode == "amp" else torch.contiguous_format


# -- convolutions ----------------------------------------------------------------------------------------------------------------------


def measure_conv(z, mode, device, clock):
    """The three passes of one convolution in milliseconds and GFLOP/s; amp computes in float16."""
    layout = set_mode(mode)
    dtype = torch.float16 if mode == "amp" else torch.float32
    rows = -(-z["size"] // z["stride"])
    padding = z["kernel"] // 2

    def values(*shape):
        t = torch.empty(shape, device=device).uniform_(-1, 1).to(dtype)
        return t.contiguous(memory_format=layout)

    x = values(z["n"], z["ci"], z["size"], z["size"])
    w = values(z["co"], z["ci"], z["kernel"], z["kernel"])
    g = values(z["n"], z["co"], rows, rows)

    def forward():
        return F.conv2d(x, w, stride=z["stride"], padding=padding)

    def backward(*mask):
        s = [z["stride"]] * 2
        return torch.ops.aten.convolution_backward(g, x, w, None, s, [padding] * 2, [1, 1], False, [0, 0], 1, [*mask, False])

    def everything():
        forward()
        backward(True, True)

    flops = 2 * z["n"] * z["co"] * z["ci"] * z["kernel"] ** 2 * rows**2
    work = {
        "forward": (forward, 1),
        "inputGradient": (lambda: backward(True, False), 1),
        "weightGradient": (lambda: backward(False, True), 1),
        "all": (everything, 3),
    }
    result = {}
    for name, (run, passes) in work.items():
        timing = clock.time(run)
        result[name] = {"gflops": passes * flops / timing["median"] / 1e6, "timing": timing}
    return {"shape": shape_name(z), "sizes": z, "own": result}


# -- training steps --------------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Pre-activation residual block: y = conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x))."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x):
        h = F.relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(h)
        return self.conv2(F.relu(self.bn2(self.conv1(h)))) + skip


class PreActResNet18(nn.Module):
    """For images of 32 x 32 in [0, 1]: the normalisation is the model's first layer."""

    def __init__(self, width, classes=10):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        blocks, inputs = [], width
        for stage in range(4):
            for i in range(2):
                blocks.append(Block(inputs, width << stage, 2 if stage > 0 and i == 0 else 1))
                inputs = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        h = self.blocks(self.conv1((x - self.mean) / self.std))
        return self.linear(F.relu(self.bn(h)).mean((2, 3)))


def count_macs(model, device):
    """Multiply-adds of an image's forward pass, convolutions and linear layers."""
    counts = []

    def hook(layer, _, y):
        rows = y.shape[2] * y.shape[3] if y.dim() == 4 else 1
        counts.append(layer.weight.numel() * rows)

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32, device=device))
    for handle in handles:
        handle.remove()
    return sum(counts)


def measure_step(batch, width, attack_steps, mode, device, clock):
    """An adversarial training step: PGD in train mode from a random start, then SGD with momentum and weight decay."""
    layout = set_mode(mode)
    amp = mode == "amp"
    torch.manual_seed(1)
    model = PreActResNet18(width).to(device)
    macs = count_macs(model, device)
    model = model.to(memory_format=layout).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    scaler = torch.cuda.amp.GradScaler(enabled=amp and device.type == "cuda")
    images = torch.rand(batch, 3, 32, 32, device=device).contiguous(memory_format=layout)
    labels = torch.randint(10, (batch,), device=device)
    eps, step_size = 8 / 255, 2 / 255
    low_type = torch.float16 if device.type == "cuda" else torch.bfloat16

    def loss_of(x):
        with torch.autocast(device.type, dtype=low_type) if amp else nullcontext():
            return F.cross_entropy(model(x), labels)

    def step():
        x = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)
        for _ in range(attack_steps):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(scaler.scale(loss_of(x)), x)
            with torch.no_grad():
                x = x + step_size * gradient.sign()
                x = torch.min(torch.max(x, images - eps), images + eps).clamp(0, 1)
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss_of(x)).backward()
        scaler.step(optimiser)
        scaler.update()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timing = clock.time(step, warm_up=3, most_runs=1)
    seconds = timing["median"] / 1000
    return {
        "arch": "resnet18",
        "width": width,
        "batchSize": batch,
        "trainStep": attack_steps,
        "timing": timing,
        "imagesPerSecond": batch / seconds,
        # a forward pass is 2·macs operations an image; K + 1 of them, K + 1 input gradients and 1 weight gradient
        "gflops": {"dense": 2 * macs * (2 * attack_steps + 3) * batch / seconds / 1e9},
        "peak": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


# -- ceilings --------------------------------------------------------------------------------------------------------------------------


def measure_ceilings(device, clock, quick):
    """Matrix products in TFLOP/s and a device copy in GB/s, read and written bytes both counted."""
    set_mode("fp32")
    n = 512 if quick else 8192
    ceilings = {"matmulSize": n}
    for name, dtype in (("matmulFp32", torch.float32), ("matmulFp16", torch.float16)):
        if dtype == torch.float16 and device.type == "cpu":
            continue  # no kernels for it, or very slow ones
        a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
        timing = clock.time(lambda: a @ b)
        ceilings[name] = {"tflops": 2 * n**3 / timing["median"] / 1e9, "timing": timing}
    source = torch.rand(2**22 if quick else 2**28, device=device)
    target = torch.empty_like(source)
    timing = clock.time(lambda: target.copy_(source))
    ceilings["copy"] = {"bytes": 4 * source.numel(), "gbs": 8 * source.numel() / timing["median"] / 1e6, "timing": timing}
    return ceilings


# -- all of it -------------------------------------------------------------------------------------------------------------------------


def driver_version():
    """The GPU's name and driver as nvidia-smi tells them; None without it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip().split("\n")[0]
    except (OSError, subprocess.SubprocessError):
        return None


def attempt(label, measure):
    """A measurement, or what prevented it: an adapter that lacks memory for one size still measures the others."""
    progress(label)
    try:
        return measure()
    except RuntimeError as error:  # out of memory is one
        progress(f"{label}: {error}")
        return {"failed": label, "error": str(error).split("\n")[0]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="sizes for a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--parts", nargs="+", choices=("ceilings", "step", "conv"), default=["ceilings", "step", "conv"])
    parser.add_argument("--shapes", default="stages", help="stages, all, or a JSON file with a list of {n, ci, co, size, kernel, stride}")
    parser.add_argument("--conv-batch", type=int, nargs="+", help="batch sizes of the convolutions (8 128; quick 2)")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes of the training step (128 512; quick 2)")
    parser.add_argument("--width", type=int, help="base width of the network (64; quick 4)")
    parser.add_argument("--train-step", type=int, default=10, help="iterations of the training attack (10)")
    parser.add_argument("--samples", type=int, help="timed samples (9; quick 2)")
    args = parser.parse_args()
    quick = args.quick
    args.conv_batch = args.conv_batch or ([2] if quick else [8, 128])
    args.batch = args.batch or ([2] if quick else [128, 512])
    args.width = args.width or (4 if quick else 64)
    args.samples = args.samples or (2 if quick else 9)
    return args


def conv_shapes(args):
    """The shapes to measure, each once."""
    if args.shapes in ("stages", "all"):
        found = [z for n in args.conv_batch for z in shapes_of(args.shapes, n)]
    else:
        with open(args.shapes, encoding="utf-8") as file:
            found = [{"n": 8, "co": z["ci"], "kernel": 3, "stride": 1, **z} for z in json.load(file)]
    return [z for i, z in enumerate(found) if z not in found[:i]]


def main():
    args = parse_arguments()
    device = torch.device(args.device)
    clock = Clock(device, args.samples, sample_ms=5 if args.quick else 50)
    cuda = device.type == "cuda"
    result = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "driver": driver_version(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    # a run that is out of time still prints what it has
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        measure(args, device, clock, result)
    finally:
        json.dump(result, sys.stdout, indent=1)
        print()


def measure(args, device, clock, result):
    """Every part into `result`, as soon as it is there."""
    if "ceilings" in args.parts:
        result["ceilings"] = attempt("ceilings", lambda: measure_ceilings(device, clock, args.quick))
    if "step" in args.parts:
        result["step"] = {mode: [] for mode in args.modes}
        for mode in args.modes:
            for n in args.batch:
                work = lambda: measure_step(n, args.width, args.train_step, mode, device, clock)
                result["step"][mode].append(attempt(f"step {mode} batch {n}", work))
    if "conv" in args.parts:
        # a CPU has no float16 convolutions
        modes = [mode for mode in args.modes if mode != "amp" or device.type == "cuda"]
        result["conv"] = {mode: [] for mode in modes}
        for mode in modes:
            for z in conv_shapes(args):
                work = lambda: measure_conv(z, mode, device, clock)
                result["conv"][mode].append(attempt(f"conv {mode} batch {z['n']} {shape_name(z)}", work))


if __name__ == "__main__":
    main()
