"""Folders as the hub has them: tiny transformers with random weights and a fast tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

WORDS = [
    "the",
    "is",
    "here",
    "so",
    "much",
    "today",
    "!",
    "i",
    "like",
    "and",
    "more",
    "no",
    ",",
    "she",
    "said",
    "a",
    "it",
    "'",
    "s",
    "sun",
    "rain",
    "wind",
    "snow",
    "again",
    "in",
    "may",
    "now",
    "then",
]
NEVER = [f"unused{number}" for number in range(40)]  # most of a real vocabulary
POSITIONS = 32


def make(
    kind: str, folder: Path, labels: Sequence[str] = (), special: bool = True, masked: bool = False
) -> Path:
    """A pretrained `kind` in a folder, with a head for `labels`, or one that tells `masked` tokens.

    `special` tokens surround its texts.
    """
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    first, padding, last, unknown = (0, 1, 2, 3) if kind in ("roberta", "mpnet", "bart") else (2, 0, 3, 1)
    if kind == "t5":
        first, padding, last, unknown = 3, 0, 1, 2
    marks = {first: "<s>", padding: "<pad>", last: "</s>", unknown: "<unk>"}
    # Between the texts' words stand unused ones, so that no id is a word's place among those used.
    words = [word for pair in zip(NEVER, WORDS, strict=False) for word in pair] + NEVER[len(WORDS) :]
    words += ["<mask>"] if masked else []
    vocabulary = {**{marks[id_]: id_ for id_ in sorted(marks)}, **{w: i for i, w in enumerate(words, 4)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if special:
        single, pair = {
            "t5": ("$A </s>", "$A </s> $B </s>"),
            "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
            "mpnet": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
        }.get(kind, ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single, pair, special_tokens=[("<s>", first), ("</s>", last)]
        )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    if masked:
        names["mask_token"] = "<mask>"
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.save_pretrained(folder)
    bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    options: dict[str, Any] = {
        "bert": bert,
        "roberta": bert,
        "mpnet": bert,
        "modernbert": bert | {"num_hidden_layers": 6, "global_attn_every_n_layers": 3},
        "t5": {
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": padding,
        },
        "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
        "bart": {
            "d_model": 16,
            "init_std": 0.3,
            **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
            **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
            **{f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")},
        },
    }
    torch.manual_seed(0)
    titles = {"roberta": "Roberta", "mpnet": "MPNet", "distilbert": "DistilBert", "modernbert": "ModernBert"}
    title = titles.get(kind, kind.title())
    config = getattr(transformers, f"{title}Config")(
        vocab_size=len(vocabulary),
        pad_token_id=padding,
        bos_token_id=first,
        eos_token_id=last,
        max_position_embeddings=POSITIONS + (padding + 1 if kind in ("roberta", "mpnet") else 0),
        initializer_range=0.3,
        **options[kind],
    )
    if labels:
        config.id2label = dict(enumerate(labels))
    part = "ForSequenceClassification" if labels else "ForConditionalGeneration" if kind == "t5" else "Model"
    part = "ForMaskedLM" if masked else part
    getattr(transformers, title + part)(config).save_pretrained(folder)
    return folder


def part_of_minilm(folder: Path, words: int = 5000) -> Path:
    """MiniLM as its package has it, but for layers beyond the first and words beyond the first `words`."""
    from safetensors.torch import load_file, save_file

    from harness_transformers.transformer import MiniLM

    whole = MiniLM().folder()
    shutil.copy(whole / "tokenizer_config.json", folder)
    weights = load_file(whole / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".layer." not in name or ".layer.0." in name}
    (table,) = (name for name in kept if name.endswith("word_embeddings.weight"))
    kept[table] = kept[table][:words].clone()
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    sizes = {"num_hidden_layers": 1, "vocab_size": words}
    config = json.loads((whole / "config.json").read_text()) | sizes
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((whole / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: id_ for word, id_ in vocabulary.items() if id_ < words}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
