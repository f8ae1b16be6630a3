"""Stand-ins for onnx, onnxruntime and jax: enough of each to run the peers of ``refrnn bench``.

The operators are evaluated as the ONNX specification writes them, sequence by sequence, and the
vector-Jacobian product is taken by the complex step: neither knows anything of refrnn.
"""

import pickle
from itertools import product
from types import ModuleType, SimpleNamespace

import numpy as np

_ACTIVATIONS = {
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Tanh": np.tanh,
    "Relu": lambda a: np.maximum(a, 0),
}


def module(name, **contents):
    """A module made of these things."""
    made = ModuleType(name)
    vars(made).update(contents)
    return made


# --- ONNX ------------------------------------------------------------------------------------


def onnx_modules():
    """Modules ``onnx`` and ``onnxruntime``, by name, as ``sys.modules`` holds them."""
    helper = SimpleNamespace(
        make_node=lambda op, inputs, outputs, **attributes: (op, inputs, outputs, attributes),
        make_graph=lambda nodes, name, inputs, outputs, constants: (nodes, dict(constants)),
        make_tensor_value_info=lambda name, kind, shape: name,
        make_opsetid=lambda domain, version: (domain, version),
        make_model=lambda graph, **options: SimpleNamespace(
            SerializeToString=lambda: pickle.dumps(graph)
        ),
    )
    onnx = module(
        "onnx",
        __version__="fake",
        helper=helper,
        numpy_helper=SimpleNamespace(from_array=lambda array, name: (name, array)),
        TensorProto=SimpleNamespace(FLOAT="float", INT32="int32"),
    )
    runtime = module(
        "onnxruntime",
        __version__="fake",
        SessionOptions=SimpleNamespace,
        InferenceSession=_Session,
    )
    return {"onnx": onnx, "onnxruntime": runtime}


class _Session:
    """One operator, evaluated by the text of its specification."""

    def __init__(self, model, options, providers):
        assert providers == ["CPUExecutionProvider"]
        (self._node,), self._constants = pickle.loads(model)
        self._options = options

    def get_session_options(self):
        return self._options

    def run(self, outputs, feeds):
        op, slots, names, attributes = self._node
        tensors = {**self._constants, **feeds}
        given = dict(zip(("X", "W", "R", "B", "sequence_lens"), slots, strict=False))
        assert all(slot == name for name, slot in given.items() if slot)
        X, W, R = (tensors[name] for name in ("X", "W", "R"))
        T, B, _ = X.shape
        H = attributes["hidden_size"]
        bias = tensors["B"][0] if given["B"] else np.zeros(2 * W.shape[1], X.dtype)
        peepholes = tensors["P"][0] if slots[5:] == ["", "", "P"] else np.zeros(3 * H, X.dtype)
        step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[op](attributes)
        Y = np.zeros((T, 1, B, H), X.dtype)
        last = np.zeros((len(names) - 1, 1, B, H), X.dtype)
        for b, length in enumerate(tensors["sequence_lens"]):
            state = [np.zeros(H, X.dtype) for _ in names[1:]]
            order = range(length)
            for t in reversed(order) if attributes["direction"] == "reverse" else order:
                state = step(X[t, b], state, W[0], R[0], *np.split(bias, 2), peepholes)
                Y[t, 0, b] = state[0]
            last[:, 0, b] = state
        return [Y, *last]


def _parts(attributes):
    """The activations, with the clip in front of them."""
    bound = attributes.get("clip", np.inf)

    def clipped(f):
        return lambda a: f(np.clip(a, -bound, bound))

    return [clipped(_ACTIVATIONS[name]) for name in attributes["activations"]]


def _lstm(attributes):
    f, g, _ = _parts(attributes)
    h = _ACTIVATIONS[attributes["activations"][2]]  # the clip is of the gates

    def step(x, state, W, R, Wb, Rb, P):
        H_t, C_t = state
        a_i, a_o, a_f, a_c = np.split(W @ x + R @ H_t + Wb + Rb, 4)
        p_i, p_o, p_f = np.split(P, 3)
        i = f(a_i + p_i * C_t)
        forget = 1 - i if attributes["input_forget"] else f(a_f + p_f * C_t)
        C = forget * C_t + i * g(a_c)
        return [f(a_o + p_o * C) * h(C), C]

    return step


def _gru(attributes):
    f, g = _parts(attributes)

    def step(x, state, W, R, Wb, Rb, P):
        (H_t,) = state
        (Wz, Wr, Wh), (Rz, Rr, Rh) = np.split(W, 3), np.split(R, 3)
        (Wbz, Wbr, Wbh), (Rbz, Rbr, Rbh) = np.split(Wb, 3), np.split(Rb, 3)
        z = f(Wz @ x + Rz @ H_t + Wbz + Rbz)
        r = f(Wr @ x + Rr @ H_t + Wbr + Rbr)
        if attributes["linear_before_reset"]:
            h = g(Wh @ x + r * (Rh @ H_t + Rbh) + Wbh)
        else:
            h = g(Wh @ x + Rh @ (r * H_t) + Rbh + Wbh)
        return [(1 - z) * h + z * H_t]

    return step


def _rnn(attributes):
    (f,) = _parts(attributes)
    return lambda x, state, W, R, Wb, Rb, P: [f(W @ x + R @ state[0] + Wb + Rb)]


# --- JAX -------------------------------------------------------------------------------------


def jax_modules(settings):
    """Modules ``jax`` and ``jax.numpy`` by name; what is configured is written to `settings`."""
    numpy = module(
        "jax.numpy",
        asarray=np.asarray,
        clip=lambda a, low, high: np.where(a.real < low, low, np.where(a.real > high, high, a)),
        split=np.split,
        tanh=np.tanh,
        where=np.where,
    )
    jax = module(
        "jax",
        __version__="fake",
        block_until_ready=lambda arrays: arrays,
        config=SimpleNamespace(update=settings.__setitem__),
        jit=lambda f: f,
        lax=SimpleNamespace(scan=_scan),
        nn=SimpleNamespace(
            sigmoid=_ACTIVATIONS["Sigmoid"], relu=lambda a: np.where(a.real > 0, a, 0)
        ),
        numpy=numpy,
        vjp=_vjp,
    )
    return {"jax": jax, "jax.numpy": numpy}


def _scan(f, carry, inputs, *, reverse):
    steps = range(len(inputs[0]))
    outputs = {}
    for t in reversed(steps) if reverse else steps:
        carry, outputs[t] = f(carry, tuple(array[t] for array in inputs))
    return carry, np.stack([outputs[t] for t in steps])


def _vjp(f, parameters, x, *, has_aux):
    assert has_aux
    output, state = f(parameters, x)

    def pull_back(d_output):
        def gradient(array, put):
            result = np.zeros_like(array)
            for index in product(*map(range, array.shape)):
                moved = array.astype(np.complex128)
                moved[index] += 1e-30j
                result[index] = np.sum(d_output * f(*put(moved))[0].imag) / 1e-30
            return result

        d_parameters = {
            name: gradient(array, lambda moved, name=name: ({**parameters, name: moved}, x))
            for name, array in parameters.items()
        }
        return d_parameters, gradient(x, lambda moved: (parameters, moved))

    return output, pull_back, state
