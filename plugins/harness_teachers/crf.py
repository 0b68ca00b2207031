"""A linear-chain conditional random field (Lafferty et al., 2001): the tags of a text as one whole.

Written here, because the usual package (pytorch-crf) gives no marginals, and no sums over unknown tags. All
sums are of logarithms, over whole batches of texts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness import Batch, Loss


class Crf(nn.Module):
    """Scores of tags: of each word's (emissions), of neighbours' (transitions), of the first and the last.

    Emissions are (B, W, C), those behind a text's length, (B,), without effect. Each text has a word.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.empty(classes, classes).uniform_(-0.1, 0.1))  # from, to
        self.start = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """(B,): the logarithm of the sum over all tag sequences of their exponentiated scores."""
        last = self._before(emissions)[torch.arange(len(lengths), device=lengths.device), lengths - 1]
        return (last + self.end).logsumexp(1)

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """(B,): of tags (B, W), summed over all ways to fill in those that are -1 (Tsuboi et al., 2008)."""
        classes = torch.arange(emissions.shape[2], device=tags.device)
        other = (tags >= 0).unsqueeze(2) & (classes != tags.unsqueeze(2))  # (B, W, C)
        both = torch.cat([emissions.masked_fill(other, -torch.inf), emissions])
        given, every = self.log_partition(both, lengths.repeat(2)).chunk(2)
        return given - every

    def log_marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """(B, W, C): the log-probability of each word's tag, whatever the others' are."""
        behind = [torch.empty(0)] * emissions.shape[1]  # of each word, what may come after it
        following = self.end.expand(len(emissions), -1)  # (B, C)
        for word in range(emissions.shape[1] - 1, -1, -1):
            following = torch.where((lengths - 1 == word).unsqueeze(1), self.end, following)
            behind[word] = following
            ahead = (emissions[:, word] + following).unsqueeze(1)  # (B, 1, to)
            following = (self.transitions + ahead).logsumexp(2)
        return (self._before(emissions) + torch.stack(behind, dim=1)).log_softmax(2)

    def best(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """(B, W): the tags of the best-scored sequence (Viterbi, 1967); the first of equal ones."""
        chosen: list[Tensor] = []  # the best next tag of each tag, the last word's first
        following = self.end.expand(len(emissions), -1)
        for word in range(emissions.shape[1] - 1, -1, -1):
            following = torch.where((lengths - 1 == word).unsqueeze(1), self.end, following)
            ahead = emissions[:, word] + following  # (B, C)
            following, next_ = (self.transitions + ahead.unsqueeze(1)).max(2)
            chosen.append(next_)
        tags = [(self.start + ahead).argmax(1)]
        for next_ in chosen[-2::-1]:
            tags.append(next_.gather(1, tags[-1].unsqueeze(1))[:, 0])
        return torch.stack(tags, dim=1)

    def _before(self, emissions: Tensor) -> Tensor:
        """(B, W, C): log-sums of all sequences up to a word that has a tag."""
        states = [self.start + emissions[:, 0]]
        for word in range(1, emissions.shape[1]):
            reached = (states[-1].unsqueeze(2) + self.transitions).logsumexp(1)
            states.append(reached + emissions[:, word])
        return torch.stack(states, dim=1)


def padded(rows: Tensor, lengths: Tensor, padding: float = 0.0) -> Tensor:
    """Rows (T, ...) of texts' words, end to end, to (B, W, ...)."""
    places = torch.arange(int(lengths.max()), device=rows.device)
    table = rows.new_full((len(lengths), len(places), *rows.shape[1:]), padding)
    table[places < lengths.unsqueeze(1)] = rows
    return table


@dataclass(frozen=True, eq=False)
class SequenceLikelihood(Loss):
    """The negative log-likelihood of whole texts' gold tags, by word, in nats; rows are emissions.

    Words without a gold tag may have any. A batch of such words alone gives 0.
    """

    crf: Crf

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels only."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """Emissions (T, C) of the words of all texts to the mean, ()."""
        assert batch.labels is not None and batch.words is not None
        emissions, tags = padded(student, batch.words), padded(batch.labels, batch.words, -1)
        total = self.crf.log_likelihood(emissions, tags, batch.words).sum()
        return -total / (batch.labels >= 0).sum().clamp_min(1)
