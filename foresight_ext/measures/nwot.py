"""`nwot`: log-determinant of the NASWOT kernel as the paper defines it, every ReLU counted once."""

from foresight_ext.measures import PROXIES
from foresight_ext.measures.jacob import KernelProxy

PROXIES.register("nwot", KernelProxy(count_blocks=False))
