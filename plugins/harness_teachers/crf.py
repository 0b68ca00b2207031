"""A linear-chain conditional random field (Lafferty et al., 2001), which scores the tags of a text together.

The usual package (pytorch-crf) provides neither marginals nor sums over unknown tags. All computations are in
log space, on batches of texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness import Batch, Loss


class Crf(nn.Module):
    """A CRF: scores of each tag (emissions), of neighbouring tags (transitions), of the first and last tag.

    Emissions are (B, W, C); those beyond the length of a text, (B,), have no effect. Each text has at least
    one word.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.empty(classes, classes).uniform_(-0.1, 0.1))  # from, to
        self.start = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return the log of the sum of exponentiated scores over all tag sequences, (B,)."""
        last = self._before(emissions)[torch.arange(len(lengths), device=lengths.device), lengths - 1]
        return (last + self.end).logsumexp(1)

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-likelihood of tags (B, W), as (B,).

        Tags of -1 are unknown: it is summed over all ways to fill them in (Tsuboi et al., 2008).
        """
        classes = torch.arange(emissions.shape[2], device=tags.device)
        other = (tags >= 0).unsqueeze(2) & (classes != tags.unsqueeze(2))  # (B, W, C)
        both = torch.cat([emissions.masked_fill(other, -torch.inf), emissions])
        given, every = self.log_partition(both, lengths.repeat(2)).chunk(2)
        return given - every

    def log_marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return the marginal log-probabilities of each word's tags, (B, W, C)."""
        behind = [torch.empty(0)] * emissions.shape[1]  # for each word, log-sums over the words after it
        following = self.end.expand(len(emissions), -1)  # (B, C)
        for word in range(emissions.shape[1] - 1, -1, -1):
            following = torch.where((lengths - 1 == word).unsqueeze(1), self.end, following)
            behind[word] = following
            ahead = (emissions[:, word] + following).unsqueeze(1)  # (B, 1, to)
            following = (self.transitions + ahead).logsumexp(2)
        return (self._before(emissions) + torch.stack(behind, dim=1)).log_softmax(2)

    def best(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return the tags of the sequence with the best score, (B, W) (Viterbi, 1967).

        The first of several equal sequences is returned.
        """
        chosen: list[Tensor] = []  # the best next tag of each tag, starting from the last word
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
        """Return the log-sums over all sequences that end with a tag of a word, (B, W, C)."""
        states = [self.start + emissions[:, 0]]
        for word in range(1, emissions.shape[1]):
            reached = (states[-1].unsqueeze(2) + self.transitions).logsumexp(1)
            states.append(reached + emissions[:, word])
        return torch.stack(states, dim=1)


def padded(rows: Tensor, lengths: Tensor, padding: float = 0.0) -> Tensor:
    """Return the rows (T, ...) of the words of all texts as a padded table (B, W, ...)."""
    places = torch.arange(int(lengths.max()), device=rows.device)
    table = rows.new_full((len(lengths), len(places), *rows.shape[1:]), padding)
    table[places < lengths.unsqueeze(1)] = rows
    return table


@dataclass(frozen=True, eq=False)
class SequenceLikelihood(Loss):
    """The negative log-likelihood of the gold tags of whole texts, in nats per word; rows are emissions.

    Words without a gold tag may have any tag. The loss is 0 for a batch without gold tags.
    """

    crf: Crf

    @property
    def needs(self) -> frozenset[str]:
        """Return what the loss needs: gold labels only."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """Return the mean loss, (), of the emissions (T, C) of the words of all texts."""
        assert batch.labels is not None and batch.words is not None
        emissions, tags = padded(student, batch.words), padded(batch.labels, batch.words, -1)
        total = self.crf.log_likelihood(emissions, tags, batch.words).sum()
        return -total / (batch.labels >= 0).sum().clamp_min(1)
