"""GRU and LSTM layers for training on a CPU: both directions at once, with a backward pass by hand.

torch's own layers call some 15 small operations for each word, direction and pass, and most of a small
model's time is their overhead. Here they are five to eight, most of them for all directions together. What
does not depend on the previous word is computed for all words at once. The results are those of torch's
layers, but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

aten = torch.ops.aten


def scan(
    layers: Sequence[nn.GRU | nn.LSTM], inputs: Sequence[Tensor], recurrent: Sequence[Tensor]
) -> list[Tensor]:
    """Return the states (B, L, H) of layers, one for each direction, given their inputs (B, L, W).

    `recurrent` are the matrices to use in place of the layers' own ``weight_hh_l0``, (gates × H, H) each.
    """
    stacked = torch.stack([states.transpose(0, 1) for states in inputs])  # (D, L, B, W)
    weight, bias, own_bias = (
        torch.stack([getattr(layer, name) for layer in layers])
        for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")
    )
    function = _Gru if isinstance(layers[0], nn.GRU) else _Lstm
    found = function.apply(stacked, weight, torch.stack(list(recurrent)), bias, own_bias)  # type: ignore[no-untyped-call]
    return [states.transpose(0, 1) for states in found]


class _Gru(torch.autograd.Function):
    """GRU (Cho et al., 2014) over inputs (D, L, B, W), as torch defines it, with gates r, z and n."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Tensor:
        width = u.shape[2]
        given = _products(inputs, w, b)  # (D, L, B, 3H)
        own, gates, new = (_empty(inputs, number * width) for number in (3, 2, 1))
        states = _from_zeros(inputs, width)
        before, products = states.unbind(1), [each.unbind(0) for each in own]
        at_gates, at_new = given[..., : 2 * width].unbind(1), given[..., 2 * width :].unbind(1)
        own_gates, own_new = own[..., : 2 * width].unbind(1), own[..., 2 * width :].unbind(1)
        both, resets, updates = gates.unbind(1), gates[..., :width].unbind(1), gates[..., width:].unbind(1)
        for t, fresh in enumerate(new.unbind(1)):
            for d in range(len(u)):
                torch.addmm(c[d], before[t][d], u[d].t(), out=products[d][t])
            torch.add(at_gates[t], own_gates[t], out=both[t]).sigmoid_()
            torch.addcmul(at_new[t], resets[t], own_new[t], out=fresh).tanh_()
            torch.lerp(fresh, before[t], updates[t], out=before[t + 1])
        ctx.save_for_backward(inputs, w, u, own, gates, new, states)
        return states[:, 1:]  # (D, L, B, H)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, w, u, own, gates, new, states = ctx.saved_tensors
        directions, length, batch, width = new.shape
        r, z = gates[..., :width], gates[..., width:]
        # The gradient of each gate before its function is that of the state times a factor.
        of_new = aten.tanh_backward(1 - z, new)
        factors = inputs.new_empty(directions, length, batch, 3, width)
        factors[..., 0, :] = aten.sigmoid_backward(of_new * own[..., 2 * width :], r)
        factors[..., 1, :] = aten.sigmoid_backward(states[:, :-1] - new, z)
        torch.mul(of_new, r, out=factors[..., 2, :])
        to_own = factors.view(directions, length, batch, -1)
        products = [each.unbind(0) for each in to_own]
        of_states = inputs.new_empty(directions, length, batch, width)
        later = inputs.new_zeros(directions, batch, width)
        steps = zip(gradient.unbind(1), of_states.unbind(1), factors.unbind(1), z.unbind(1), strict=True)
        for t, (outer, total, factor, update) in reversed(list(enumerate(steps))):
            torch.add(outer, later, out=total)
            factor.mul_(total.unsqueeze(2))
            torch.mul(total, update, out=later)
            for d in range(directions):
                later[d].addmm_(products[d][t], u[d])
        d_u, d_c = _of_weights(to_own, states[:, :-1])
        to_own[..., 2 * width :] = of_states * of_new
        d_w, d_b = _of_weights(to_own, inputs)
        return _of_inputs(to_own, w, inputs), d_w, d_u, d_b, d_c


class _Lstm(torch.autograd.Function):
    """LSTM (Hochreiter & Schmidhuber, 1997) over inputs (D, L, B, W), with gates i, f, g and o."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Tensor:
        width = u.shape[2]
        gates = _products(inputs, w, b + c)  # (D, L, B, 4H)
        squashed = _empty(inputs, width)
        cells, states = _from_zeros(inputs, width), _from_zeros(inputs, width)
        products = [each.unbind(0) for each in gates]
        i, f, g, o = (gate.unbind(1) for gate in torch.split(gates, width, dim=-1))
        both = gates[..., : 2 * width].unbind(1)
        before, cell = states.unbind(1), cells.unbind(1)
        for t, bent in enumerate(squashed.unbind(1)):
            for d in range(len(u)):
                products[d][t].addmm_(before[t][d], u[d].t())
            both[t].sigmoid_()
            g[t].tanh_()
            o[t].sigmoid_()
            torch.mul(f[t], cell[t], out=cell[t + 1]).addcmul_(i[t], g[t])
            torch.tanh(cell[t + 1], out=bent)
            torch.mul(o[t], bent, out=before[t + 1])
        ctx.save_for_backward(inputs, w, u, gates, cells, squashed, states)
        return states[:, 1:]  # (D, L, B, H)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, w, u, gates, cells, squashed, states = ctx.saved_tensors
        directions, length, batch, width = squashed.shape
        i, f, g, o = gates.split(width, dim=-1)
        # The gradients of i, f and g before their functions are that of the cell times a factor; that of o is
        # the state's times a factor.
        factors = inputs.new_empty(directions, length, batch, 4, width)
        factors[..., 0, :] = aten.sigmoid_backward(g, i)
        factors[..., 1, :] = aten.sigmoid_backward(cells[:, :-1], f)
        factors[..., 2, :] = aten.tanh_backward(i, g)
        factors[..., 3, :] = aten.sigmoid_backward(squashed, o)
        to_given = factors.view(directions, length, batch, -1)
        products = [each.unbind(0) for each in to_given]
        of_cells, of_state = factors[..., :3, :].unbind(1), factors[..., 3, :].unbind(1)
        to_cell = aten.tanh_backward(o, squashed).unbind(1)
        state, cell = inputs.new_zeros(2, directions, batch, width)
        steps = zip(gradient.unbind(1), to_cell, f.unbind(1), strict=True)
        for t, (outer, bent, kept) in reversed(list(enumerate(steps))):
            state.add_(outer)
            cell.addcmul_(state, bent)
            of_cells[t].mul_(cell.unsqueeze(2))
            of_state[t].mul_(state)
            cell.mul_(kept)
            for d in range(directions):
                torch.mm(products[d][t], u[d], out=state[d])
        d_u, d_b = _of_weights(to_given, states[:, :-1])
        d_w, _ = _of_weights(to_given, inputs)
        return _of_inputs(to_given, w, inputs), d_w, d_u, d_b, d_b


def _empty(inputs: Tensor, width: int) -> Tensor:
    """Return a tensor (D, L, B, `width`) for inputs (D, L, B, W), with any values."""
    return inputs.new_empty(*inputs.shape[:-1], width)


def _from_zeros(inputs: Tensor, width: int) -> Tensor:
    """Return zeros (D, L + 1, B, `width`): those before the first word, and places for those after each."""
    directions, length, batch, _ = inputs.shape
    return inputs.new_zeros(directions, length + 1, batch, width)


def _products(inputs: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return inputs (D, L, B, W) times matrices (D, G, W), plus b (D, G): (D, L, B, G)."""
    found = _empty(inputs, w.shape[1])
    for d in range(len(w)):
        torch.addmm(b[d], inputs[d].view(-1, inputs.shape[-1]), w[d].t(), out=found[d].view(-1, w.shape[1]))
    return found


def _of_weights(gradient: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of matrices (D, G, W) and biases (D, G), given that of their product."""
    flat = [each.reshape(-1, each.shape[-1]) for each in gradient]
    matrices = [one.t() @ given.reshape(-1, given.shape[-1]) for one, given in zip(flat, inputs, strict=True)]
    return torch.stack(matrices), torch.stack([one.sum(0) for one in flat])


def _of_inputs(gradient: Tensor, w: Tensor, inputs: Tensor) -> Tensor:
    """Return the gradient of inputs (D, L, B, W), given that of their product with matrices (D, G, W)."""
    found = torch.empty_like(inputs)
    for d in range(len(w)):
        torch.mm(gradient[d].view(-1, w.shape[1]), w[d], out=found[d].view(-1, w.shape[2]))
    return found
