"""The oracle: what other implementations of RNN, LSTM and GRU are compared with."""
