"""Ragged batches to and from the ragged containers of other libraries.

=================================  ==============================  ================================
container                          conversions                     what it cannot hold
=================================  ==============================  ================================
``awkward.Array``                  :func:`from_awkward`            nothing
                                   :func:`to_awkward`
``torch.nested``, jagged           :func:`from_nested_tensor`      longdouble
                                   :func:`to_nested_tensor`
``torch.nested``, strided          the same, with ``layout=``      longdouble; B = 0, which loses F
``torch.nn.utils.rnn``             :func:`from_packed_sequence`    longdouble; B = 0; sequences of
``.PackedSequence``                :func:`to_packed_sequence`      length 0
``tf.RaggedTensor``                :func:`from_tf_ragged`          longdouble
                                   :func:`to_tf_ragged`
=================================  ==============================  ================================

Numbers arrive bit for bit, in the same dtype: nothing is rounded, and what a container cannot hold
is an error. The other library is imported when a function is called, and an ImportError says what
to install.
"""

from __future__ import annotations

from .awkward import from_awkward, to_awkward
from .tensorflow import from_tf_ragged, to_tf_ragged
from .torch import (
    from_nested_tensor,
    from_packed_sequence,
    to_nested_tensor,
    to_packed_sequence,
)

__all__ = [
    "from_awkward",
    "from_nested_tensor",
    "from_packed_sequence",
    "from_tf_ragged",
    "to_awkward",
    "to_nested_tensor",
    "to_packed_sequence",
    "to_tf_ragged",
]
