"""A reference trainer: GPT-2 on a published dataset, with a loader that resumes to the token.

    python examples/train_gpt.py runs/c4like/dataset --out out
    torchrun --nproc-per-node 8 examples/train_gpt.py runs/c4like/dataset --out out

Killed at any moment and started again with the same arguments it goes on from the last checkpoint,
with the samples and the losses that it would have had. One line of JSON a `--log-every` steps:
loss, tokens/s, MFU, the share of time spent waiting for data, GPU utilisation where NVML is there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from loader import open_dataset
from loader.torch_dataset import TokenDataset


@dataclass(frozen=True)
class Config:
    """GPT-2 124M (Radford et al. 2019)."""

    vocab: int = 50304
    seq_len: int = 1024
    layers: int = 12
    heads: int = 12
    width: int = 768


class Block(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads = c.heads
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.qkv, self.out = nn.Linear(c.width, 3 * c.width), nn.Linear(c.width, c.width)
        self.up, self.down = nn.Linear(c.width, 4 * c.width), nn.Linear(4 * c.width, c.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(c.vocab, c.width), nn.Embedding(c.seq_len, c.width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm, self.head = nn.LayerNorm(c.width), nn.Linear(c.width, c.vocab, bias=False)
        self.head.weight = self.tokens.weight
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * c.layers) if deep else 1))

    def forward(
        self, tokens: torch.Tensor, labels: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        x = self.tokens(tokens) + self.places(places)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100)


def flops_per_token(model: nn.Module, c: Config) -> float:
    """6 a parameter, and attention (PaLM, Chowdhery et al. 2022, appendix B)."""
    weights = sum(p.numel() for p in model.parameters()) - c.seq_len * c.width
    return 6 * weights + 12 * c.layers * c.width * c.seq_len


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    share = min(1.0, (step - args.warmup) / max(1, args.steps - args.warmup))
    return args.lr * (0.55 + 0.45 * math.cos(math.pi * share))


def utilisation() -> int | None:
    """Per cent of the last second in which a kernel ran, by NVML."""
    try:
        return torch.cuda.utilization()
    except (ModuleNotFoundError, RuntimeError, AssertionError):
        return None


def save(path: Path, state: dict) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)  # whole or not at all


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Train GPT-2 on a published dataset.")
    p.add_argument("dataset")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--batch", type=int, default=32, help="rows a step, of all GPUs together")
    for name, value in vars(Config()).items():
        p.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--lr", type=float, default=6e-4)
    p.add_argument("--warmup", type=int, default=100)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--save-every", type=int, default=200)
    p.add_argument("--log-every", type=int, default=10)
    p.add_argument("--backend", default="auto")
    p.add_argument("--cache", default=None, help="folder of the hot cache, or 'memory'")
    p.add_argument("--peak-flops", type=float, default=989e12, help="default: H100, dense bf16")
    p.add_argument("--no-compile", action="store_true")
    return p.parse_args()


def main() -> None:
    args = arguments()
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    torch.manual_seed(args.seed)
    config = Config(args.vocab, args.seq_len, args.layers, args.heads, args.width)
    bare = GPT(config).to(device)
    model = bare if args.no_compile else torch.compile(bare)
    if world > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(bare.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    data = TokenDataset(
        open_dataset(args.dataset), args.seq_len, args.batch, seed=args.seed, epochs=None,
        rank=rank, world_size=world, backend=args.backend, cache=args.cache,
    )  # fmt: skip
    checkpoint, begin = args.out / "checkpoint.pt", 0
    args.out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        bare.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        data.load_state_dict(state["loader"])
        begin = state["step"]
    batches, waited, since = iter(data), 0.0, time.perf_counter()
    logged, flops = begin, flops_per_token(bare, config)
    for step in range(begin, args.steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        with torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=cuda):
            loss = model(batch["tokens"], batch["labels"], batch["position_ids"])
        loss.backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done = step + 1
        if done % args.log_every == 0 or done == args.steps:
            value, now = loss.item(), time.perf_counter()  # item() waits for the device
            speed = (done - logged) * args.batch * args.seq_len / (now - since)
            line = {
                "step": done, "loss": value, "tokens_per_second": round(speed),
                "mfu": round(speed / world * flops / args.peak_flops, 4),
                "waited": round(waited / (now - since), 5),
                "gpu_utilisation": utilisation() if cuda else None,
                "samples": data.state_dict()["consumed"],
            }  # fmt: skip
            if rank == 0:
                print(json.dumps(line), flush=True)
            logged, since, waited = done, time.perf_counter(), 0.0
        if rank == 0 and (done % args.save_every == 0 or done == args.steps):
            state = {"model": bare.state_dict(), "optimizer": optimizer.state_dict()}
            save(checkpoint, {**state, "loader": data.state_dict(), "step": done})
    data.close()
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
