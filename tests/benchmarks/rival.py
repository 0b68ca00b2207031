"""Set up a Hugging Face Trainer as the harness trains, for the benchmarks of students and of fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def trainer(
    model: Any,
    rows: Any,
    collate: Any,
    scratch: Path,
    *,
    batch_size: int,
    epochs: int,
    warmup_steps: int,
    seed: int,
    **options: Any,
) -> Any:
    """Return a Trainer that trains on one CPU device in fp32, and neither validates, saves nor logs.

    `options` are other arguments of ``TrainingArguments``.
    """
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=batch_size,
        num_train_epochs=epochs,
        warmup_steps=warmup_steps,
        max_grad_norm=1.0,
        seed=seed,
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )
    return Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
