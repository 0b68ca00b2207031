"""Training a masked language model, in tokens a second: the harness beside plain loops on the same model.

    python tests/benchmarks/bench_language.py [--texts 2000] [--threads 1] [--precision bf16] [--record]

The model is a BERT of a configuration (4 layers of width 256, 8,000 tokens), the texts are made up and as
long as tweets, 32 a batch; a token is one that is no padding. Two loops stand beside the harness: ``plain``
is as tutorials have it, with batches in random order and logits of all tokens; ``marked`` has batches of
nearly equal lengths and logits of the hidden tokens alone, so that what is left between it and the harness
is the harness's own work. Both draw masks as Transformers' collator does. Runs are interleaved, and the
median of their ratios is told.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, record, say

SIZE, BATCH, SEED = 8_000, 32, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    tokens = made_up(options.texts)
    total = int(tokens.lengths.sum())
    contenders: dict[str, Callable[[], None]] = {
        "harness": lambda: ours(tokens, options.precision),
        "marked": lambda: loop(tokens, options.precision, True),
        "plain": lambda: loop(tokens, options.precision, False),
    }
    ours(made_up(64), options.precision)  # what is loaded once
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.pairs):
        for name, run in contenders.items():
            clock = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - clock)
    found = {name: round(total / statistics.median(times)) for name, times in seconds.items()}
    ratios = {
        name: round(statistics.median(b / a for a, b in zip(seconds["harness"], times, strict=True)), 3)
        for name, times in seconds.items()
        if name != "harness"
    }
    say("tokens/s: " + ", ".join(f"{name} {rate:,}" for name, rate in found.items()))
    say(f"harness / plain: {ratios['plain']} (goal at least 1.2)")
    say(f"harness / marked: {ratios['marked']} (goal at least 0.95)")
    if options.record:
        shared = {"threads": options.threads, "precision": options.precision, "texts": options.texts}
        record("language", {**machine(), **shared, "tokens_per_s": found, "ratios": ratios})


def made_up(texts: int) -> Any:
    """Random ids of texts as long as tweets: 8 to 40 tokens with the two around them."""
    from harness.featurise.tokens import MaskedTokens

    generator = np.random.default_rng(SEED)
    lengths = np.clip(generator.poisson(18, texts), 8, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(5, SIZE, int(offsets[-1])).astype(np.int32)
    ids[offsets[:-1]], ids[offsets[1:] - 1] = 2, 3
    return MaskedTokens(ids, offsets, 0, SIZE, 4, range(5))


def bert() -> Any:
    """The model of all contenders."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=SIZE,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    return BertForMaskedLM(config)


def ours(tokens: Any, precision: Any) -> None:
    """An epoch of the harness's loop."""
    import torch
    from torch import Tensor, nn

    from harness.api import Examples
    from harness.testing.tiny import CheckContext
    from harness.training.loop import train
    from harness.training.settings import Training
    from harness_losses import CrossEntropy

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert()

        def outputs(self, ids: Tensor, names: Any) -> dict[str, Any]:
            marked, ids = ids >= SIZE, ids % SIZE
            states = self.bert.bert(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
            return {"logits": self.bert.cls(states[marked])}

    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        context = CheckContext(Path(scratch), SEED, precision=precision)
        settings = Training(epochs=1, batch_size=BATCH, learning_rate=1e-4, weight_decay=0.01)
        train(Masked(), tokens, Examples([""] * len(tokens), ()), CrossEntropy(), settings, context)


def loop(tokens: Any, precision: str, marked: bool) -> None:
    """An epoch of a loop as one writes it."""
    import torch

    module = bert().train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    lowered = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
    for rows in batches(tokens, marked):
        ids, labels = collated(torch.from_numpy(tokens.batch(rows)))
        with lowered:
            attended = (ids != 0).long()
            if marked:
                hidden = labels != -100
                states = module.bert(input_ids=ids, attention_mask=attended).last_hidden_state
                logits, labels = module.cls(states[hidden]), labels[hidden]
            else:
                logits = module(input_ids=ids, attention_mask=attended).logits.flatten(0, 1)
                labels = labels.flatten()
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()


def batches(tokens: Any, sorted_by_length: bool) -> Iterator[Any]:
    """One epoch of rows."""
    from harness.training.loop import training_batches

    generator = np.random.default_rng(SEED)
    if sorted_by_length:
        yield from training_batches(tokens.lengths, BATCH, generator)
    else:
        order = generator.permutation(len(tokens))
        yield from (order[at : at + BATCH] for at in range(0, len(order), BATCH))


def collated(ids: Any) -> tuple[Any, Any]:
    """Ids and labels as Transformers' collator for masked language models makes them."""
    import torch

    labels = ids.clone()
    chances = torch.full(ids.shape, 0.15).masked_fill(ids < 5, 0.0)
    hidden = torch.bernoulli(chances).bool()
    labels[~hidden] = -100
    masked = torch.bernoulli(torch.full(ids.shape, 0.8)).bool() & hidden
    ids[masked] = 4
    other = torch.bernoulli(torch.full(ids.shape, 0.5)).bool() & hidden & ~masked
    ids[other] = torch.randint(SIZE, ids.shape)[other]
    return ids, labels


if __name__ == "__main__":
    main()
