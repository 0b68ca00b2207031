"""Train WordPiece vocabularies on texts, reproducibly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN, FIRST, LAST, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_INSIDE = "##"  # prefix of pieces that do not begin a word


def train(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Train BERT's uncased tokenizer on texts, with at most `vocabulary` ids.

    Only the most frequent characters are known: as many as an eighth of the vocabulary, but at least 64.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    spaced: Counter[str] = Counter()
    for text in texts:
        spaced.update(normalizer.normalize_str(text).split())
    words: Counter[str] = Counter()
    for chunk, count in spaced.items():
        for word, _ in splitter.pre_tokenize_str(chunk):
            words[word] += count
    found: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            found[character] += count
        inside.update(word[1:])
    kept = sorted(found, key=lambda character: (-found[character], character))[: max(64, vocabulary // 8)]
    # Otherwise the trainer numbers these in the order of a hash table, and ties are decided by chance.
    pieces = sorted(_INSIDE + character for character in kept if character in inside)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        limit_alphabet=len(kept),
        initial_alphabet=kept,
        special_tokens=[*SPECIAL, *pieces],
        show_progress=False,
    )
    trained = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    trained.normalizer, trained.pre_tokenizer = normalizer, splitter
    trained.train_from_iterator(texts, trainer)
    # A new tokenizer of the same pieces: what was trained as a special token is never found within words.
    tokenizer = Tokenizer(models.WordPiece(trained.get_vocab(), unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.add_special_tokens(list(SPECIAL))
    ends = [(name, tokenizer.token_to_id(name)) for name in (FIRST, LAST)]
    single, pair = f"{FIRST} $A {LAST}", f"{FIRST} $A {LAST} $B:1 {LAST}:1"
    tokenizer.post_processor = processors.TemplateProcessing(single, pair, special_tokens=ends)
    return tokenizer
