# The PyTorch peer of bench/engine.ts: the reference model's training step in eager mode, one JSON request a line on
# standard input, one JSON answer a line. Requests: {"threads", "kind": "f32" | "bf16" | "matmul", "repeats"} or a "model".

import json
import sys
import time

import torch
import torch.nn.functional as F


class Block(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        d, kv = c["dim"], c["kvHeads"] * c["dim"] // c["heads"]
        self.heads, self.kv_heads = c["heads"], c["kvHeads"]
        linear = lambda i, o: torch.nn.Linear(i, o, bias=False)
        self.q, self.k, self.v, self.o = linear(d, d), linear(d, kv), linear(d, kv), linear(d, d)
        self.gate, self.up, self.down = linear(d, c["ffn"]), linear(d, c["ffn"]), linear(c["ffn"], d)
        self.norm1 = torch.nn.Parameter(torch.ones(d))
        self.norm2 = torch.nn.Parameter(torch.ones(d))

    def forward(self, x, cos, sin, mask):
        b, s, d = x.shape
        h = rms(x, self.norm1)
        split = lambda t, n: t.view(b, s, n, -1).transpose(1, 2)
        q = rotate(split(self.q(h), self.heads), cos, sin)
        k = rotate(split(self.k(h), self.kv_heads), cos, sin)
        v = split(self.v(h), self.kv_heads)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5) + mask
        a = scores.softmax(-1).to(v.dtype) @ v
        x = x + self.o(a.transpose(1, 2).reshape(b, s, d))
        h = rms(x, self.norm2)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed = torch.nn.Embedding(c["vocab"], c["dim"])
        self.blocks = torch.nn.ModuleList([Block(c) for _ in range(c["layers"])])
        self.norm = torch.nn.Parameter(torch.ones(c["dim"]))
        self.head = torch.nn.Linear(c["dim"], c["vocab"], bias=False)
        half = c["dim"] // c["heads"] // 2
        angle = torch.outer(torch.arange(c["context"]).float(), 10000.0 ** (-torch.arange(half) / half))
        self.cos, self.sin = angle.cos(), angle.sin()
        self.mask = torch.full((c["context"], c["context"]), float("-inf")).triu(1)

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        logits = self.head(rms(x, self.norm))
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1))


def rms(x, gain):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * gain


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Step:
    def __init__(self, c, batch):
        torch.manual_seed(1)
        self.model = Model(c)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), foreach=True)
        shape = (batch, c["context"])
        self.tokens = torch.randint(0, c["vocab"], shape)
        self.targets = torch.randint(0, c["vocab"], shape)

    def run(self, bf16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = self.model(self.tokens, self.targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss)


def main():
    step, a, b = None, torch.randn(1024, 1024), torch.randn(1024, 1024)
    print(json.dumps({"version": torch.__version__, "blas": torch.__config__.show().split("BLAS_INFO=")[1].split(",")[0]}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "model" in request:
            step = Step(request["model"], request["batch"])
            print("{}", flush=True)
            continue
        torch.set_num_threads(request["threads"])
        work = (lambda: a @ b) if request["kind"] == "matmul" else (lambda: step.run(request["kind"] == "bf16"))
        wall, cpu = [], []
        for _ in range(request["repeats"]):
            start, busy = time.perf_counter(), time.process_time()
            work()
            wall.append(1000 * (time.perf_counter() - start))
            cpu.append(1000 * (time.process_time() - busy))
        print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


main()
