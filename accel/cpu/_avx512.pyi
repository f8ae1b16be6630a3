from ._baseline import backward as backward
from ._baseline import forward as forward
