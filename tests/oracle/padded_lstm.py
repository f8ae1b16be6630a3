"""An LSTM as frameworks write it, on padded batches, with bugs to switch on.

It shares no code with refrnn: a loop over padded time, and derivatives by the complex step.
"""

import numpy as np

from refrnn import LSTM, CellParameters
from refrnn.oracle import LAW, Network
from refrnn.oracle.padded import expected_d_input, expected_output
from refrnn.oracle.subject import Expected

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
OWN = dict(zip(("W_ih", "W_hh", "b_ih", "b_hh"), NAMES, strict=True))


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def forward(p, x, lengths, h, c, *, reverse, bug):
    """Outputs (B, T, H) and final states of a padded batch (B, T, I)."""
    H = h.shape[1]
    order = np.argsort(-lengths, kind="stable")
    if bug == "not put back":
        # it sorts, and forgets that initial states have to follow; outputs go back to their places
        x, lengths, h, c = x[order], lengths[order], h[order], c[order]
    if bug == "h_0 ignored":
        h, c = 0 * h, 0 * c
    if bug == "h_0 and c_0 swapped":
        h, c = c, h
    w_ih, w_hh, bias = p["weight_ih"], p["weight_hh"], p["bias_ih"] + p["bias_hh"]
    if bug == "bias doubled":
        bias = bias + p["bias_ih"]
    if bug == "bias missing":
        bias = p["bias_ih"]
    if bug == "W_hh transposed":
        w_hh = np.concatenate([block.T for block in np.split(w_hh, 4)])
    names = "igfo" if bug == "gate order" else "ifgo"
    steps = range(x.shape[1])
    output = np.zeros((*x.shape[:2], H), x.dtype)
    for t in reversed(steps) if reverse else steps:
        alive = (t < lengths)[:, None]
        if bug == "gradient cut" and t:  # what has no imaginary part is a constant
            h, c = np.where(alive, h.real, h), np.where(alive, c.real, c)
        x_t = x[:, t] if bug == "mask multiplied" else np.where(alive, x[:, t], 0)
        if bug in ("lengths ignored", "final state from padding", "reverse from padding"):
            x_t = x[:, t]
        a = x_t @ w_ih.T + h @ w_hh.T + bias
        gate = dict(zip(names, np.split(a, 4, axis=1), strict=True))
        i, f, o = (_sigmoid(gate[name]) for name in "ifo")
        if bug == "forget bias":
            f = _sigmoid(gate["f"] + 1)
        c_new = f * c + i * np.tanh(gate["g"])
        h_new = o * np.tanh(c_new)
        if bug == "lengths ignored":
            output[:, t] = h_new
        elif bug == "mask multiplied":
            output[:, t] = alive * h_new
        else:
            output[:, t] = np.where(alive, h_new, 0)
        if bug in ("lengths ignored", "final state from padding", "reverse from padding"):
            h, c = h_new, c_new
        elif bug == "mask multiplied":
            h, c = alive * h_new + ~alive * h, alive * c_new + ~alive * c
        else:
            h, c = np.where(alive, h_new, h), np.where(alive, c_new, c)
    if bug == "state of the last step":
        h = output[:, -1]
    if bug == "not put back":
        output = output[np.argsort(order)]
    return output, h, c


class PaddedLSTM:
    """The LSTM as a subject, in the layout of a framework: states (B, H), batch first."""

    title = "a padded LSTM"
    semantics = LAW
    dtype = np.dtype("float64")

    def __init__(self, bug="", *, reverse=False):
        cell = LSTM(2, 3)
        self.network = Network([cell], (reverse,))
        self._bug = bug
        drawn = cell.init_parameters(np.random.default_rng(5), scale=1.0)
        self._weights = {OWN[name]: array for name, array in drawn.items()}

    def parameters(self):
        return (CellParameters({name: self._weights[OWN[name]] for name in OWN}),)

    def supports(self, problem):
        return "no holes" if problem.has_holes else None

    def run(self, problem):
        arguments = {
            "input": problem.padded_input(),
            "h_0": problem.state_0[0].h,
            "c_0": problem.state_0[0].c,
            **self._weights,
        }
        output, h, c = self._forward(problem, arguments)
        gradients = {f"d_{n}": self._gradient(problem, arguments, n) for n in arguments}
        return {"output": output, "h_n": h, "c_n": c, **self._spoilt(gradients)}

    def _forward(self, problem, arguments):
        weights = {name: arguments[name] for name in NAMES}
        with np.errstate(all="ignore"):
            return forward(
                weights,
                arguments["input"],
                problem.lengths,
                arguments["h_0"],
                arguments["c_0"],
                reverse=self.network.reverse[0],
                bug=self._bug,
            )

    def _gradient(self, problem, arguments, name):
        """Complex step of <results, cotangents>, element by element."""
        gradient = np.zeros_like(arguments[name])
        d_output = problem.padded_cotangent()
        wide = {n: a.astype(complex) for n, a in arguments.items()}
        for index in np.ndindex(gradient.shape):
            moved = wide[name].copy()
            moved[index] += 1e-30j
            output, h, c = self._forward(problem, {**wide, name: moved})
            with np.errstate(all="ignore"):
                total = (output * d_output).sum()
                total += (h * problem.d_state_n[0].h).sum() + (c * problem.d_state_n[0].c).sum()
            gradient[index] = total.imag / 1e-30
        return gradient

    def _spoilt(self, gradients):
        """Bugs of the backward pass alone."""
        if self._bug == "gradient of h_0 dropped":
            gradients["d_h_0"] = 0 * gradients["d_h_0"]
        if self._bug == "gradient doubled":
            gradients["d_weight_ih"] = 2 * gradients["d_weight_ih"]
        if self._bug == "gradient rows":
            i, f, g, o = np.split(gradients["d_weight_hh"], 4)
            gradients["d_weight_hh"] = np.concatenate([i, g, f, o])
        if self._bug == "gradient at the padding":
            gradients["d_input"] = gradients["d_input"] + 1.0 * (gradients["d_input"] == 0)
        return gradients

    def present(self, results, problem, semantics):
        (state_n,), (d_state_0,) = results.state_n, results.d_state_0
        found = {
            "output": expected_output(results, problem, semantics),
            "h_n": Expected(state_n.h),
            "c_n": Expected(state_n.c),
            "d_input": expected_d_input(results, problem),
            "d_h_0": Expected(d_state_0.h),
            "d_c_0": Expected(d_state_0.c),
        }
        gradient = results.d_parameters[0]
        return {**found, **{f"d_{OWN[name]}": Expected(a) for name, a in gradient.items()}}
