"""An LSTM written in PyTorch, with bugs to switch on; its gradients are autograd's."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class OwnLSTM(nn.LSTM):
    """``nn.LSTM`` with a forward pass of its own for packed sequences, one layer deep."""

    def __init__(self, *args, bug="", **kwargs):
        super().__init__(*args, **kwargs)
        self.bug = bug

    def forward(self, packed, hx=None):
        x, lengths = pad_packed_sequence(packed)
        if hx is None:
            D = 1 + self.bidirectional
            hx = (x.new_zeros(D, x.shape[1], self.hidden_size),) * 2
        outputs, finals = [], []
        for d, suffix in enumerate(("", "_reverse")[: 1 + self.bidirectional]):
            output, h, c = self._run(x, lengths, hx[0][d], hx[1][d], suffix)
            outputs.append(output)
            finals.append((h, c))
        output = pack_padded_sequence(torch.cat(outputs, 2), lengths, enforce_sorted=False)
        h_n, c_n = (torch.stack(states) for states in zip(*finals, strict=True))
        if self.bug == "not put back":
            order = torch.argsort(-lengths, stable=True)
            h_n, c_n = h_n[:, order], c_n[:, order]
        return output, (h_n, c_n)

    def _run(self, x, lengths, h, c, suffix):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (getattr(self, f"{name}_l0{suffix}") for name in names)
        if self.bug == "W_hh transposed":
            w_hh = torch.cat([block.T for block in w_hh.chunk(4)])
        if self.bug == "bias doubled":
            b_hh = 2 * b_hh
        if self.bug == "h_0 ignored":
            h, c = 0 * h, 0 * c
        if self.bug == "h_0 detached":
            h = h.detach()
        steps = range(x.shape[0])
        outputs = [None] * len(steps)
        for t in reversed(steps) if suffix else steps:
            alive = (t < lengths)[:, None]
            stays = alive if self.bug != "steps through padding" else torch.ones_like(alive)
            if self.bug == "reverse from padding" and suffix:
                stays = torch.ones_like(alive)
            if self.bug == "gradient cut" and t:
                h, c = torch.where(alive, h.detach(), h), torch.where(alive, c.detach(), c)
            a = x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh
            i, f, g, o = a.chunk(4, 1)
            if self.bug == "gate order":
                f, g = g, f
            if self.bug == "forget bias":
                f = f + 1
            c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h_new = torch.sigmoid(o) * torch.tanh(c_new)
            if self.bug == "mask multiplied":
                h, c = alive * h_new + ~alive * h, alive * c_new + ~alive * c
            else:
                h, c = torch.where(stays, h_new, h), torch.where(stays, c_new, c)
            outputs[t] = h_new
        if self.bug == "c_n is squared":
            c = c * c
        return torch.stack(outputs), h, c
