"""The cases that the tests of the vectors use."""

from refrnn.vectors import specs

SPECS = {spec.name: spec for spec in specs()}

#: A few cases that find every mutant together; ``mutants.json`` of a whole corpus has such a list.
FEW = (
    "lstm_peepholes_gate_clip/length_0_and_1_reverse",
    "gru_reset_after/nan_padding",
    "stack_gru_reset_after_bidirectional/length_0_and_1",
    "lstm_coupled_activations/length_0_and_1",
    "lstm_projection_cell_clip/length_0_and_1",
    "rnn_relu/all_equal",
    "lstm_peepholes_coupled/length_0_and_1",
)
