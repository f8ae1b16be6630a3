from ._baseline import Crew as Crew
from ._baseline import backward as backward
from ._baseline import forward as forward
from ._baseline import scratch_sizes as scratch_sizes
