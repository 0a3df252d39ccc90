"""GRU, LSTM and sLSTM over a pack: gates that read the state through a dense weight per head.

``reference`` walks time in plain torch, one matmul a step for all gates, heads and directions;
``fused`` keeps a head's weights on the chip through the whole loop (Triton). A twin through
``torch.nn.GRU`` and ``LSTM`` was measured and left out: they insist on a projection of their own,
which from given gates is a matmul with the identity, four times the work of the recurrence.
"""

from .cells import Cell as Cell
from .op import dense_recurrence as dense_recurrence
